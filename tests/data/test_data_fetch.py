"""Fetching from a server on the loopback address that does everything a server can do wrong."""

import contextlib
import hashlib
import io
import os
import re
import signal
import subprocess
import sys
import tarfile
import threading
import time
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from conftest import file_size_limit, one_line

from lsegrepro import LsegreproError, cli
from lsegrepro.data import download, fetch
from lsegrepro.data.fetch import Archive

FILES = {f"set/photos/{k}.jpg": np.random.default_rng(k).bytes(30_000) for k in range(8)} | {"set/list.txt": b"0 1 2\n"}
FAST = {"timeout": 5.0, "attempts": 3, "wait": 0.01, "progress": False}


def packed() -> bytes:
    """An archive whose bytes are the same each time."""
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as tar:
        for name, data in FILES.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return content.getvalue()


WHOLE = packed()


@dataclass
class Manners:
    """How the server answers at one path. Each of the lists holds one entry a request; the last one stays."""

    content: bytes = WHOLE
    status: list[int] = field(default_factory=lambda: [200])
    cut: list[int | None] = field(default_factory=lambda: [None])  # close after so many bytes of the body
    stall: list[int | None] = field(default_factory=lambda: [None])  # say nothing more after so many
    announced: int | None = None  # Content-Length, if it is a lie
    silent: bool = False  # no Content-Length at all
    ranges: bool = True
    range_total: int | None = None  # a lie in Content-Range
    range_shift: int = 0
    pause: float = 0.0  # seconds before each piece
    piece: int = 1 << 20
    location: str = ""
    headers: dict[str, str] = field(default_factory=dict)


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.paths: dict[str, Manners] = {}
        self.asked: list[tuple[str, str | None]] = []
        self.over = threading.Event()

    def at(self, path: str, **manners) -> str:
        """Answer at a path in this way; the address of its folder."""
        self.paths[path] = Manners(**manners)
        return f"http://127.0.0.1:{self.server_port}{path}".rsplit("/", 1)[0]

    def ranges(self, path: str | None = None) -> list[str | None]:
        """The Range header of each request, at one path or at all."""
        return [asked for where, asked in self.asked if path in (None, where)]


class Handler(BaseHTTPRequestHandler):
    def log_message(self, *_):
        pass

    def do_GET(self):
        manners = self.server.paths.get(self.path)
        number = len(self.server.ranges(self.path))
        self.server.asked.append((self.path, self.headers.get("Range")))
        if manners is None:
            return self.send_error(404)

        def now(values):
            return values[min(number, len(values) - 1)]

        status, begin = now(manners.status), 0
        asked = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        if asked and manners.ranges and status == 200:
            begin = int(asked[1])
            status = 206 if begin < len(manners.content) else 416
        if status not in (200, 206):
            self.send_response(status)
            if manners.location:
                self.send_header("Location", manners.location)
            self.send_header("Content-Length", "0")
            return self.end_headers()
        self.send_response(status)
        body = manners.content[begin:]
        if status == 206:
            total = manners.range_total or len(manners.content)
            first = begin + manners.range_shift
            self.send_header("Content-Range", f"bytes {first}-{len(manners.content) - 1}/{total}")
        if not manners.silent:
            self.send_header("Content-Length", str(len(body) if manners.announced is None else manners.announced))
        for key, value in manners.headers.items():
            self.send_header(key, value)
        self.end_headers()
        end = now(manners.cut)
        stall = now(manners.stall)
        with contextlib.suppress(OSError):  # the other side may hang up
            for k in range(0, len(body[:end][:stall]), manners.piece):
                time.sleep(manners.pause)
                self.wfile.write(body[:end][:stall][k : k + manners.piece])
            if stall is not None:
                self.wfile.flush()
                self.server.over.wait(5)


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    found = Server()
    thread = threading.Thread(target=found.serve_forever, args=(0.01,))
    thread.start()
    yield found
    found.over.set()
    found.shutdown()
    found.server_close()
    thread.join()


@pytest.fixture
def root(tmp_path, monkeypatch):
    """A data root, and one data set ``set`` to be fetched into it; at its own address nobody listens."""
    archive = Archive("set.tar", ("http://127.0.0.1:1/set.tar",), hashlib.sha256(WHOLE).hexdigest(), len(WHOLE),
                      unpacked=2 * len(WHOLE), prefix="set", target="nice/set",
                      holds={"photos/*.jpg": 8, "list.txt": 1})
    monkeypatch.setattr(fetch, "DATASETS", {"set": (archive,)})
    return tmp_path / "data"


def get(root, *mirrors, **options):
    """Fetch the data set; the lines that were said."""
    said = []
    assert fetch.fetch("set", root, mirrors, say=said.append, **FAST | options) == [root / "nice" / "set"]
    assert {name: (root / "nice" / name).read_bytes() for name in FILES} == FILES
    assert len([*(root / "nice").rglob("*")]) == len(FILES) + 2  # and the folders set and photos
    assert sorted(os.listdir(root / "downloads" / "set")) == ["set.tar"]
    assert (root / "downloads" / "set" / "set.tar").read_bytes() == WHOLE
    return said


def refused(root, *mirrors, **options) -> str:
    """Fetching fails in one line that says what to do by hand; there is no archive and no data set."""
    with pytest.raises(LsegreproError) as error:
        fetch.fetch("set", root, mirrors, say=lambda line: None, **FAST | options)
    archive = fetch.DATASETS["set"][0]
    assert not (root / "nice").exists() and not (root / "downloads" / "set" / "set.tar").exists()
    return one_line(error, "set.tar", archive.sha256, f"{archive.size:,}", root / "downloads" / "set" / "set.tar",
                    "same command", *mirrors)


def part(root) -> Path:
    return root / "downloads" / "set" / "set.tar.part"


def test_a_server_as_it_should_be(server, root):
    get(root, server.at("/a/set.tar"))
    assert server.ranges() == [None]


def test_what_is_there_is_not_fetched_again(server, root):
    mirror = server.at("/a/set.tar")
    get(root, mirror)
    get(root, mirror)
    fetch.shutil.rmtree(root / "nice")
    get(root, mirror)  # unpacked again, from the same archive
    assert len(server.asked) == 1


def test_a_finished_data_set_needs_neither_archive_nor_writing(server, root, monkeypatch):
    get(root, server.at("/a/set.tar"))
    fetch.shutil.rmtree(root / "downloads")
    assert fetch.fetch("set", root) == [root / "nice" / "set"]
    assert not (root / "downloads").exists() and len(server.asked) == 1


@pytest.mark.parametrize("mirror", ["/a", "/a/", "/a/set.tar"])
def test_a_mirror_is_a_folder_or_the_file(server, root, mirror):
    server.at("/a/set.tar")
    get(root, f"http://127.0.0.1:{server.server_port}{mirror}")


def test_an_archive_put_there_by_hand_is_taken(root):
    (root / "downloads" / "set").mkdir(parents=True)
    (root / "downloads" / "set" / "set.tar").write_bytes(WHOLE)
    assert not any("fetching" in line for line in get(root))


def test_a_wrong_archive_put_there_is_replaced(server, root):
    (root / "downloads" / "set").mkdir(parents=True)
    (root / "downloads" / "set" / "set.tar").write_bytes(WHOLE[:-1] + b"!")
    get(root, server.at("/a/set.tar"))


@pytest.mark.fault("network", tried="a connection that is cut", survived="continued from the byte it had reached")
def test_a_cut_is_continued_with_a_range(server, root):
    get(root, server.at("/a/set.tar", cut=[100_000, 50_000, None]))
    assert server.ranges() == [None, "bytes=100000-", "bytes=150000-"]


@pytest.mark.fault("network", tried="a server that falls silent", survived="given up after the time-out, and continued")
def test_a_stalled_connection_is_given_up_and_continued(server, root):
    begin = time.monotonic()
    get(root, server.at("/a/set.tar", stall=[70_000, None]), timeout=0.4)
    assert 0.4 <= time.monotonic() - begin < 4
    assert server.ranges() == [None, "bytes=70000-"]


def test_a_slow_server_is_waited_for(server, root):
    get(root, server.at("/a/set.tar", piece=25_000, pause=0.07), timeout=0.6)  # longer than that in all
    assert server.ranges() == [None]


@pytest.mark.fault("kills", tried="SIGKILL of data fetch", survived="continued from the byte it had reached")
def test_a_killed_process_is_continued(server, root, tmp_path):
    mirror = server.at("/a/set.tar", stall=[120_000, None])
    program = ("import sys; from lsegrepro.data import fetch;"
               "fetch.DATASETS = {'set': (eval(sys.argv[1], vars(fetch)),)};"
               "fetch.fetch('set', sys.argv[2], [sys.argv[3]], progress=False)")
    killed = subprocess.Popen([sys.executable, "-c", program, repr(fetch.DATASETS["set"][0]), str(root), mirror],
                              stdout=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 60
        while not part(root).is_file() or part(root).stat().st_size < 120_000:
            assert time.monotonic() < deadline and killed.poll() is None
            time.sleep(0.01)
    finally:
        killed.send_signal(signal.SIGKILL)
        killed.wait()
    assert list((root / "downloads" / "set").glob("tmp*")), "pooch's own temporary file is left by a kill"
    get(root, mirror)
    assert server.ranges() == [None, "bytes=120000-"]


@pytest.mark.fault("kills", tried="a kill of data fetch while it computes the checksum",
                   survived="nothing is fetched again")
def test_a_kill_while_the_checksum_is_computed_loses_nothing(server, root):
    part(root).parent.mkdir(parents=True)
    part(root).write_bytes(WHOLE)
    get(root, server.at("/a/set.tar"))
    assert server.asked == []


@pytest.mark.fault("kills", tried="a kill of data fetch while it unpacks",
                   survived="the archive stays; nothing half-unpacked has the final name")
def test_a_kill_while_unpacking_loses_nothing(server, root):
    mirror = server.at("/a/set.tar")
    (root / "nice" / ".set.unpacking" / "photos").mkdir(parents=True)
    (root / "nice" / ".set.unpacking" / "photos" / "0.jpg").write_bytes(b"half")
    get(root, mirror)


@pytest.mark.fault("network", tried="a server that ignores ranges", survived="the whole is fetched anew")
def test_a_server_that_ignores_ranges(server, root):
    get(root, server.at("/a/set.tar", ranges=False, cut=[100_000, None]))
    assert server.ranges() == [None, "bytes=100000-"]


@pytest.mark.fault("network", tried="a server that announces another length",
                   survived="refused before its bytes are read")
@pytest.mark.parametrize("length", [1, len(WHOLE) - 1, len(WHOLE) + 1, 10**12])
def test_a_length_that_is_a_lie_is_refused_at_once(server, root, length):
    assert f"announces {length:,} bytes" in refused(root, server.at("/a/set.tar", announced=length))
    assert len(server.asked) == 1 and not part(root).exists()


def test_a_true_length_and_too_few_bytes(server, root):
    said = refused(root, server.at("/a/set.tar", content=WHOLE[:1000], announced=len(WHOLE), ranges=False))
    assert f"cut at byte 1,000 of {len(WHOLE):,}" in said and len(server.asked) == FAST["attempts"]


@pytest.mark.parametrize("extra", [0, 1, 3_000_000])
def test_no_length_at_all(server, root, extra):
    get(root, server.at("/a/set.tar", silent=True, content=WHOLE + bytes(extra)))  # and never more than the size


def test_no_length_and_too_few_bytes(server, root):
    assert "cut at byte" in refused(root, server.at("/a/set.tar", silent=True, content=WHOLE[:5000]))


def test_a_partial_file_that_is_too_long_or_too_much(server, root):
    part(root).parent.mkdir(parents=True)
    part(root).write_bytes(WHOLE + b"!")
    get(root, server.at("/a/set.tar"))
    assert server.ranges() == [None]


@pytest.mark.fault("network", tried="a server that answers with another range",
                   survived="refused; nothing wrong is kept")
@pytest.mark.parametrize("lie", [{"range_total": 5}, {"range_shift": 7}])
def test_a_range_that_is_a_lie(server, root, lie):
    good = server.at("/good/set.tar")
    bad = server.at("/bad/set.tar", cut=[100_000], **lie)
    get(root, bad, good)
    assert server.ranges("/bad/set.tar") == [None, "bytes=100000-"]
    assert server.ranges("/good/set.tar") == ["bytes=100000-"]


@pytest.mark.fault("network", tried="a mirror with wrong bytes", survived="deleted, and the next mirror asked")
def test_a_wrong_checksum_is_deleted_and_the_next_mirror_tried(server, root):
    bad = server.at("/bad/set.tar", content=WHOLE[:-1] + b"!")
    good = server.at("/good/set.tar")
    said = get(root, bad, good)
    assert any("another checksum" in line and bad in line for line in said)
    assert server.asked == [("/bad/set.tar", None), ("/good/set.tar", None)]  # and not continued from the bad one


def test_a_wrong_checksum_everywhere(server, root):
    first, second = bytes(len(WHOLE)), WHOLE[::-1]
    said = refused(root, server.at("/a/set.tar", content=first), server.at("/b/set.tar", content=second))
    assert said.count("another checksum") == 2 and not part(root).exists()
    assert sorted(os.listdir(root / "downloads" / "set")) == []


def test_wrong_bytes_of_one_mirror_do_not_spoil_another(server, root):
    bad = server.at("/bad/set.tar", content=bytes(len(WHOLE)), cut=[90_000], status=[200, 404])
    good = server.at("/good/set.tar")
    get(root, bad, good)
    assert server.ranges("/good/set.tar") == ["bytes=90000-", None]  # once more, from the beginning


@pytest.mark.parametrize("status", [403, 404, 410, 501])
def test_a_status_that_stays_is_not_asked_twice(server, root, status):
    assert str(status) in refused(root, server.at("/a/set.tar", status=[status]))
    assert len(server.asked) == 1


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_status_that_passes_is_asked_again(server, root, status):
    get(root, server.at("/a/set.tar", status=[status, status, 200]))
    assert len(server.asked) == 3


@pytest.mark.fault("network", tried="a server that never answers well",
                   survived="attempts end; the wait doubles between them")
def test_attempts_end_and_the_wait_doubles(server, root, monkeypatch):
    waits = []
    monkeypatch.setattr(download.time, "sleep", waits.append)
    refused(root, server.at("/a/set.tar", status=[503]), attempts=9, wait=1.0)
    assert waits[:8] == [1, 2, 4, 8, 16, 30, 30, 30] and len(server.asked) == 9


def test_progress_earns_new_attempts(server, root, monkeypatch):
    monkeypatch.setattr(download, "CHUNK", 10_000)
    get(root, server.at("/a/set.tar", cut=[20_000]), attempts=2)
    assert len(server.asked) == -(-len(WHOLE) // 20_000)


def test_redirects(server, root):
    server.at("/b/set.tar", cut=[100_000, None])
    get(root, server.at("/a/set.tar", status=[302], location="/b/set.tar"))
    assert server.ranges("/b/set.tar") == [None, "bytes=100000-"]


@pytest.mark.fault("network", tried="redirects to nowhere, in a circle or to another protocol",
                   survived="refused in one line")
@pytest.mark.parametrize("location", ["/a/set.tar", "file:///etc/hostname", "/nowhere", ""])
def test_redirects_to_nowhere(server, root, location):
    refused(root, server.at("/a/set.tar", status=[302], location=location))


def test_an_encoded_answer_is_kept_as_it_is(server, root):
    get(root, server.at("/a/set.tar", headers={"Content-Encoding": "x-gzip"}))  # some servers say so of a .tar.gz


@pytest.mark.fault("network", tried="a log-in page in place of the file", survived="refused")
def test_a_page_instead_of_the_file(server, root):
    assert "announces" in refused(root, server.at("/a/set.tar", content=b"<html>please log in</html>"))


def test_nobody_listens(server, root):
    server.server_close()
    assert "refused" in refused(root, f"http://127.0.0.1:{server.server_port}/a")


@pytest.mark.fault("network", tried="no network at all", survived="one line, with the way by hand")
def test_no_network(root, monkeypatch):
    def unknown(*_, **__):
        raise download.socket.gaierror(-3, "Temporary failure in name resolution")

    monkeypatch.setattr(download.socket, "getaddrinfo", unknown)
    own = replace(fetch.DATASETS["set"][0], urls=("https://data.invalid/set.tar", "http://other.invalid/set.tar"))
    monkeypatch.setattr(fetch, "DATASETS", {"set": (own,)})
    said = refused(root)
    assert said.count("is there a network?") == 2
    assert "http://other.invalid/set.tar: " in said and f"download {own.urls[0]} elsewhere" in said


def test_nonsense_is_refused(root):
    for name, mirror, timeout, words in (("voc", "http://a", 1, "unknown data set 'voc'"), ("set", "ftp://a", 1, "ftp://"),
                                         ("set", "somewhere", 1, "somewhere"), ("set", "http://a", 0, "timeout"),
                                         ("set", "http://a", np.inf, "timeout")):
        with pytest.raises(LsegreproError) as error:
            fetch.fetch(name, root, [mirror], timeout=timeout)
        one_line(error, words)
    assert not root.exists()
    refused(root, "http://127.0.0.1:1/a b")  # an address with a space


@pytest.mark.fault("disk", tried="a disk that fills during a download", survived="what is there is kept, and continued")
def test_a_full_disk_keeps_what_is_there(server, root):
    mirror = server.at("/a/set.tar")
    with file_size_limit(100_000), pytest.raises(LsegreproError) as error:
        fetch.fetch("set", root, [mirror], say=lambda line: None, **FAST)
    one_line(error, part(root), "kept")
    assert part(root).stat().st_size == 100_000
    get(root, mirror)
    assert server.ranges() == [None, "bytes=100000-"]


@pytest.mark.fault("disk", tried="a disk too small for a data set", survived="said before anything is fetched")
def test_no_room_is_said_before_anything_is_fetched(server, root, monkeypatch):
    free = type("Usage", (), {"free": 2 * len(WHOLE) - 1})
    monkeypatch.setattr(fetch.shutil, "disk_usage", lambda folder: free)
    with pytest.raises(LsegreproError) as error:
        fetch.fetch("set", root, [server.at("/a/set.tar")], say=lambda line: None)
    one_line(error, "set.tar", "make room")
    assert server.asked == []
    part(root).write_bytes(WHOLE[:1])  # one byte less to fetch
    get(root, server.at("/a/set.tar"))


def test_a_folder_of_that_name_with_something_else_in_it(server, root):
    (root / "nice" / "set" / "photos").mkdir(parents=True)
    (root / "nice" / "set" / "photos" / "0.jpg").write_bytes(b"mine")
    with pytest.raises(LsegreproError) as error:
        fetch.fetch("set", root, [server.at("/a/set.tar")])
    one_line(error, root / "nice" / "set", "1 of 8")
    assert server.asked == [] and (root / "nice" / "set" / "photos" / "0.jpg").read_bytes() == b"mine"


@pytest.mark.fault("processes", tried="two downloads of one data set", survived="the second is told")
def test_two_at_once(server, root):
    mirror = server.at("/a/set.tar", stall=[50_000, None])
    first = threading.Thread(target=get, args=(root, mirror), kwargs={"timeout": 5})
    first.start()
    while not part(root).exists():
        time.sleep(0.01)
    with pytest.raises(LsegreproError) as error:
        fetch.fetch("set", root, [mirror])
    one_line(error, "another process")
    server.over.set()
    first.join()
    assert (root / "nice" / "set" / "list.txt").is_file()


@pytest.mark.fault("disk", tried="a data root that cannot be written", survived="one line that names it")
def test_a_place_that_cannot_be_written(root):
    root.parent.joinpath("data").write_text("a file")
    with pytest.raises(LsegreproError) as error:
        fetch.fetch("set", root)
    one_line(error, root, "--data")


def test_without_pooch_the_way_by_hand_is_said(server, root, monkeypatch):
    monkeypatch.setitem(sys.modules, "pooch", None)
    assert "pip install pooch" in refused(root)


def test_the_published_data_sets_are_consistent():
    for archives in fetch.DATASETS.values():
        for archive in archives:
            assert re.fullmatch("[0-9a-f]{64}", archive.sha256) and archive.size <= archive.unpacked
            assert len(archive.urls) >= 2 and all(url.endswith(f"/{archive.file}") for url in archive.urls)
            assert all(re.match(r"https?://[a-z]+\.robots\.ox\.ac\.uk/", url) for url in archive.urls)
    assert {a.target for a in fetch.DATASETS["pets"]} == {"pets/images", "pets/annotations"}
    assert not any("trimap" in pattern for a in fetch.DATASETS["pets"] for pattern in a.wanted)


def command(*words) -> int:
    return cli.main(["data", "fetch", *map(str, words)])


def test_the_command_says_where_and_what(server, root, monkeypatch, capsys):
    mask = np.zeros((4, 4), np.uint8)
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as tar:
        for name, data in {"ImageSets/Segmentation/val.txt": b"one\n", "JPEGImages/one.jpg": b"photograph",
                           "SegmentationClass/one.png": mask.tobytes()}.items():
            member = tarfile.TarInfo(f"VOCdevkit/VOC2012/{name}")
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    content = content.getvalue()
    voc = Archive("voc.tar", (), hashlib.sha256(content).hexdigest(), len(content), len(content), "VOCdevkit/VOC2012",
                  "VOCdevkit/VOC2012", {"JPEGImages/*.jpg": 1})
    monkeypatch.setattr(fetch, "DATASETS", {"voc2012": (voc,)})
    monkeypatch.setenv("LSEGREPRO_DATA", str(root))
    mirror = server.at("/a/voc.tar", content=content)
    assert command("voc2012", "--mirror", server.at("/b/other"), "--mirror", mirror, "--timeout", "2") == 0
    printed, said = capsys.readouterr()
    assert printed == f"{root}/VOCdevkit/VOC2012\n1 of 1 images of VOC 2012 val\n"
    assert f"refused: {mirror[:-1]}b/voc.tar: 404" in said and f"fetching {mirror}/voc.tar" in said


def test_the_command_needs_a_root(monkeypatch, capsys):
    monkeypatch.delenv("LSEGREPRO_DATA", raising=False)
    assert command("pets") == 2
    assert "--data" in capsys.readouterr().err
