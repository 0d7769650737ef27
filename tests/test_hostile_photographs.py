"""Photographs that somebody made to break the program: one line each, and the others are done."""

import contextlib
import json
import os
import signal
import subprocess
import sys

import numpy as np
import pytest
import torch
from conftest import ROOT, SyntheticWeak, one_line
from hostile import bad_files, blobs, encoded, good_files, make_links, png, write_all, zeros
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from lsegrepro import LsegreproError, cli
from lsegrepro.data import images
from lsegrepro.data.images import decode_image, load_image, prepare
from lsegrepro.data.preparation import prepare_shards
from lsegrepro.data.tolerant import Tolerant
from lsegrepro.data.weak import WeakFolder
from lsegrepro.files import printable
from lsegrepro.network.weights import save_weights
from lsegrepro.runs import segment
from lsegrepro.training.batches import Decoded


@contextlib.contextmanager
def seconds(limit: int):
    """Nothing in here may wait for ever."""
    def late(*args):
        raise AssertionError(f"not done after {limit} s")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(limit)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


@pytest.fixture
def weights_file(tmp_path, tiny_net):
    path = tmp_path / "weights" / "cat.safetensors"
    save_weights(path, tiny_net, {"arguments": {"model": "LSE1", "cls": "cat"}})
    return path


@pytest.fixture
def run(weights_file, tmp_path, capsys):
    """Call `lsegrepro segment`; gives the exit code, the lines on stdout and those on stderr."""
    def call(*photographs, out=None):
        words = ["segment", "--class", "cat", "--weights", weights_file, "--device", "cpu", "--out",
                 out or tmp_path / "out", "--", *photographs]
        with seconds(300):
            code = cli.main([os.fspath(word) for word in words])
        said, complained = capsys.readouterr()
        return code, said.split("\n")[:-1], complained.split("\n")[:-1]

    return call


# One by one

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:PIL", "ignore::RuntimeWarning:PIL")
BAD = bad_files()
GOOD = good_files()


@pytest.mark.fault("photographs", "zero bytes, truncated, text or a page named .jpg, PDF, SVG, HEIC, PostScript, sizes "
                   "up to 100,000 x 100,000, decompression bombs in the picture, its profile or its text",
                   "refused with one line that names the file")
@pytest.mark.parametrize("name", BAD, ids=ascii)
def test_a_bad_file_is_refused_in_one_line(tmp_path, name):
    (tmp_path / name).write_bytes(BAD[name])
    with seconds(60), pytest.raises(LsegreproError) as error:
        prepare(load_image(tmp_path / name))
    message = one_line(error)
    assert printable(name) in message or "too narrow" in message or "floating-point" in message  # of pixels, not files


@pytest.mark.fault("photographs", "animated, palette, grey, 16-bit, CMYK, alpha, Exif-rotated, Exif that is broken",
                   "read as a person sees them")
@pytest.mark.parametrize("name", GOOD, ids=ascii)
def test_a_good_file_is_read(tmp_path, name):
    (tmp_path / name).write_bytes(GOOD[name])
    assert prepare(load_image(tmp_path / name)).shape == (300, 300, 3)


@pytest.mark.fault("photographs", "a pipe, a device, a folder, a terabyte of nothing, links that dangle or loop",
                   "refused at once; nothing waits")
def test_what_is_no_plain_file_is_refused_at_once(tmp_path):
    said = {}
    for name in make_links(tmp_path):
        with seconds(10), pytest.raises(LsegreproError) as error:
            load_image(tmp_path / name)
        said[name] = one_line(error, tmp_path / name)
    assert "pipe" in said["pipe.jpg"] and "device" in said["device.jpg"] and "irectory" in said["folder.jpg"]
    assert "no such photograph" in said["dangling.jpg"] and "symbolic links" in said["loop.jpg"]
    assert "1,099,511,627,776 bytes" in said["terabyte.jpg"]


def test_only_photographs_are_decoded_whatever_a_name_says(monkeypatch):
    """PostScript is a program: Pillow would give it to Ghostscript."""
    def ghostscript(*args, **options):
        raise AssertionError("an interpreter was called")

    monkeypatch.setattr("PIL.EpsImagePlugin.Ghostscript", ghostscript)
    with pytest.raises(LsegreproError, match="not a photograph that can be read"):
        decode_image(encoded("EPS"), "a.jpg")
    assert set(images.FORMATS) <= {"JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF"}


@pytest.mark.fault("photographs", "10,000 x 10,000 pixels in 15 KB, the most that is read", "decoded below 2 GB")
def test_the_largest_photograph_that_is_read_takes_bounded_memory(tmp_path):
    (tmp_path / "large.png").write_bytes(png(9_990, 10_000, zeros(10_000 * (9_990 // 8 + 2))))
    code = ("import resource, sys; from lsegrepro.data.images import load_image, prepare; "
            "prepare(load_image(sys.argv[1])); print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)")
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", code, tmp_path / "large.png"], cwd=ROOT,
                          capture_output=True, text=True)
    assert done.returncode == 0 and int(done.stdout) < 2_000_000, done.stderr


@pytest.mark.fault("photographs", "no permission to read the file or its folder", "refused with one line")
def test_without_permission(tmp_path):
    """Root may read everything, so it becomes nobody in a process of its own."""
    if os.geteuid() != 0:
        pytest.skip("only root can become somebody else")
    folder = tmp_path / "photos"
    write_all(folder, {"a.jpg": GOOD["grey.jpg"], "secret.jpg": GOOD["grey.jpg"]})
    (folder / "secret.jpg").chmod(0)
    write_all(tmp_path / "closed", {"a.jpg": GOOD["grey.jpg"]})
    code = f"""
import os, sys
sys.path.insert(0, {str(ROOT)!r})
from lsegrepro import LsegreproError
from lsegrepro.data.images import load_image
from lsegrepro.data.weak import WeakFolder
from lsegrepro.files import printable
from lsegrepro.runs.segment import photographs
os.chdir({str(tmp_path)!r})
for above in [{str(tmp_path)!r}, *map(str, __import__("pathlib").Path({str(tmp_path)!r}).parents)][:-1]:
    os.chmod(above, os.stat(above).st_mode | 0o711)
os.chmod("closed", 0o600)
os.setgroups([]); os.setgid(65534); os.setuid(65534)
print(load_image("photos/a.jpg").shape)
for call in (lambda: load_image("photos/secret.jpg"), lambda: load_image("closed/a.jpg"),
             lambda: photographs(["closed"])):
    try:
        call()
        print("it went through")
    except LsegreproError as error:
        print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0] == "(40, 60, 3)" and len(lines) == 4 and all("ermission denied" in line for line in lines[1:])


# Many at once


@pytest.mark.fault("photographs", "one bad file of each kind in a folder of good ones, through segment",
                   "every good one is segmented, every bad one is one line, exit code 2")
def test_a_folder_of_everything_is_gone_through(tmp_path, run):
    folder = tmp_path / "photos"
    write_all(folder, BAD | GOOD)
    bad = [*BAD, *make_links(folder)]
    code, printed, complained = run(folder)
    assert code == 2 and len(printed) == len(GOOD) and len(complained) == len(bad) + 1
    assert complained.pop() == (f"lsegrepro: {len(bad)} of the photographs could not be segmented; each is named above")
    for name in bad:
        assert sum(printable(f"/{name}") in line for line in complained) == 1, name
    assert all(line.isprintable() for line in [*printed, *complained])  # no escape sequence, no broken line
    assert len(list((tmp_path / "out").iterdir())) == 3 * len(GOOD)


@pytest.mark.fault("photographs", "one bad file of each kind in a folder of good ones, through data prepare",
                   "every good one is in the shards, every bad one in the record with its reason")
def test_a_weak_folder_of_everything_is_prepared(tmp_path):
    for label in ("cat", "dog", "background"):
        write_all(tmp_path / "weak" / label, {"good.jpg": encoded("JPEG")})
    write_all(tmp_path / "weak" / "background", BAD | GOOD)
    bad = [*BAD, *make_links(tmp_path / "weak" / "background")]
    with seconds(120):
        done = prepare_shards(WeakFolder(tmp_path / "weak", "all", heldout=0.0), tmp_path / "out", workers=1,
                              progress=False)
    assert set(done.defective) == {f"background/{name}" for name in bad}
    assert len(done.index) == len(GOOD) + 3 and done.index.image(0).shape == (300, 300, 3)
    assert json.loads((tmp_path / "out" / "shards.json").read_text())["defective"] == done.defective


@pytest.mark.parametrize("workers", [1, 2])
def test_a_photograph_that_vanishes_is_a_lost_disk_and_no_defect(tmp_path, workers):
    for label in ("cat", "dog", "background"):
        write_all(tmp_path / "weak" / label, {f"{k}.jpg": encoded("JPEG") for k in range(3)})
    weak = WeakFolder(tmp_path / "weak", "all", heldout=0.0)
    os.unlink(tmp_path / "weak" / "dog" / "1.jpg")
    with pytest.raises(LsegreproError) as error:
        prepare_shards(weak, tmp_path / "out", workers=workers, progress=False)
    one_line(error, "no such photograph", "1.jpg")


# Names and places


@pytest.mark.fault("photographs", "two photographs whose results would have one name, also where case does not count",
                   "named apart by their extension, or refused before anything is written")
def test_names_that_collide(tmp_path, run):
    for name in ("a/cat.jpg", "a/Cat.png", "b/cat.jpg", "b/e\u0301.png", "b/\u00e9.png"):
        write_all(tmp_path / name.split("/")[0], {name.split("/")[1]: GOOD["grey.jpg"]})
    assert run(tmp_path / "a")[0] == 0
    assert {path.name.rpartition("-cat-")[0] for path in (tmp_path / "out").iterdir()} == {"cat.jpg", "Cat.png"}
    for photographs in ([tmp_path / "a", tmp_path / "b"], [tmp_path / "b"]):
        code, printed, complained = run(*photographs, out=tmp_path / "other")
        assert (code, printed, len(complained)) == (2, [], 1) and "overwrite each other" in complained[0]
    assert not (tmp_path / "other").exists()


@pytest.mark.fault("photographs", "a name so long that no result can be named after it", "passed over with one line")
def test_a_name_that_is_too_long_for_its_results(tmp_path, run):
    write_all(tmp_path / "photos", {f"{250 * 'n'}.png": encoded("PNG"), "good.png": encoded("PNG")})
    code, printed, complained = run(tmp_path / "photos")
    assert (code, len(printed), len(complained)) == (2, 1, 2) and "File name too long" in complained[0]


@pytest.mark.fault("photographs", "--out is a file, or the folder of the photographs itself", "refused with one line")
def test_results_that_would_go_where_they_cannot(tmp_path, run):
    write_all(tmp_path / "photos", {"a.jpg": GOOD["grey.jpg"], "b.jpg": GOOD["cmyk.jpg"]})
    (tmp_path / "link").symlink_to("photos")
    (tmp_path / "file").write_text("in the way")
    for out, said in ((tmp_path / "file", "cannot write"), (tmp_path / "photos", "choose another --out"),
                      (tmp_path / "link", "choose another --out")):
        code, printed, complained = run(tmp_path / "photos", out=out)
        assert (code, printed, len(complained)) == (2, [], 1) and said in complained[0]
    assert len(list((tmp_path / "photos").iterdir())) == 2 and (tmp_path / "file").read_text() == "in the way"
    assert run(tmp_path / "photos", out=tmp_path / "photos" / "below")[0] == 0
    assert run(tmp_path / "photos", out=tmp_path / "photos" / "below")[0] == 0  # what is below is not taken for more


# Training


class OneBad(SyntheticWeak):
    bad = (5,)

    def image(self, index):
        if index in self.bad:
            raise LsegreproError(f"cannot read the photograph {self.names[index]}: image file is truncated")
        return super().image(index)


@pytest.mark.fault("photographs", "one bad file among those that are trained on",
                   "another of its label stands in, it is said once, and the card names it")
def test_training_goes_on_with_a_bad_photograph(tmp_path, tiny, capsys):
    from lsegrepro.config import Training
    from lsegrepro.network.weights import load_weights
    from lsegrepro.training.loop import train

    args = Training(architecture="tiny", samples=24, batch=4)
    data = Decoded(Tolerant(OneBad()), progress=False)
    path = train(args, data, tmp_path / "w.safetensors", progress=False)
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and "stands in for dog/5.png" in said and "truncated" in said
    card = load_weights(path).card
    assert list(card["unreadable"]) == ["dog/5.png"] and card["data_digest"] == OneBad().digest
    assert torch.equal(data.batch(np.array([5])), data.batch(np.array([6])))  # the next of its label
    train(args, Decoded(Tolerant(SyntheticWeak()), progress=False), tmp_path / "good.safetensors", progress=False)
    assert "unreadable" not in load_weights(tmp_path / "good.safetensors").card


def test_which_one_stands_in_is_the_same_for_ever():
    class More(OneBad):
        bad = (6, 7, 4)

    weak = Tolerant(More())
    for index in (7, 4, 6, 5):
        assert np.array_equal(weak.image(index), SyntheticWeak().image(5))
    assert set(weak.unreadable) == {"dog/6.png", "dog/7.png", "dog/4.png"}
    assert (weak.names, weak.labels, weak.digest, len(weak)) == (More().names, More().labels, More().digest, 12)


def test_nobody_stands_in_where_all_are_bad_or_the_disk_is():
    class All(OneBad):
        bad = (4, 5, 6, 7)

    weak = Tolerant(All())
    for _ in range(2):
        with pytest.raises(LsegreproError) as error:
            weak.image(5)
        one_line(error, "dog/5.png", "truncated")

    class Lost(SyntheticWeak):
        def image(self, index):
            raise LsegreproError("cannot read x: Input/output error") from OSError(5, "Input/output error", "x")

    with pytest.raises(LsegreproError, match="Input/output"):
        Tolerant(Lost()).image(0)


# Load


@pytest.mark.fault("load", "hundreds of photographs in one process, one in ten bad", "memory flat, one line a failure, "
                   "a progress bar that is right")
def test_many_photographs_in_little_memory(tmp_path, weights_file, monkeypatch, capsys):
    """The real load, 10,000 photographs, is done by hand; this is the same with 300."""
    import resource

    bars = []

    class Bar(segment.tqdm):
        def __init__(self, *args, **options):
            super().__init__(*args, **options)
            bars.append((self, self.disable))

    monkeypatch.setattr(segment, "tqdm", Bar)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    monkeypatch.setattr(segment, "segment", lambda net, image, theta: segment.Segmentation(
        np.full(image.shape[:2], 9, np.uint16), np.full(image.shape[:2], 9, np.uint16), theta))
    good = encoded("JPEG", blobs(8, 8))
    write_all(tmp_path / "photos", {f"{k:04d}.jpg": b"bad" if k % 10 == 0 else good for k in range(300)})
    peaks = []
    for _ in range(3):
        assert segment.segment_files([tmp_path / "photos"], "cat", out=tmp_path / "out", weights=weights_file,
                                     device="cpu") == 30
        peaks.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
        said = capsys.readouterr()
        assert said.out.count("\n") == 270
        assert sum("lsegrepro: " in line for line in said.err.replace("\r", "\n").split("\n")) == 30
        bar, hidden = bars[-1]
        assert (bar.n, bar.total, hidden) == (300, 300, False)
    assert peaks[2] - peaks[0] < 8_000  # KiB


# Anything


@pytest.mark.fault("photographs", "files of every kind with bytes changed, inserted and cut (hypothesis)",
                   "a picture, or one line")
@settings(max_examples=200)
@given(data=st.data())
def test_any_bytes_are_a_picture_or_one_line(data):
    content = bytearray(data.draw(st.sampled_from([*SEEDS, b""])))
    for _ in range(data.draw(st.integers(0, 4))):
        place = data.draw(st.integers(0, len(content)))
        length = data.draw(st.sampled_from([0, 1, 2, 4, 100]))
        content[place : place + length] = data.draw(st.binary(max_size=6) | st.sampled_from(
            [b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", bytes(4), b"\x80\0\0\0"]))
    with seconds(60):
        try:
            found = decode_image(bytes(content), "a.jpg")
        except LsegreproError as error:
            assert "\n" not in str(error) and ("a.jpg" in str(error) or "floating-point" in str(error))
        else:
            assert found.dtype == np.uint8 and found.ndim == 3 and found.shape[2] == 3


SEEDS = [encoded(kind, blobs(24, 31)) for kind in ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF")] + [
    encoded("TIFF", blobs(24, 31), compression="tiff_lzw"), encoded("TIFF", blobs(24, 31), compression="jpeg"),
    encoded("TIFF", blobs(24, 31), "1", compression="group4"), encoded("JPEG", blobs(24, 31), progressive=True),
    encoded("PNG", blobs(24, 31), "P", transparency=3), encoded("WEBP", blobs(24, 31), lossless=True)]


def test_the_image_module_keeps_no_file_open(tmp_path):
    before = len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else None
    if before is None:
        pytest.skip("no /proc here")
    write_all(tmp_path, {"bad.jpg": b"bad", "good.png": GOOD["palette.png"]})
    for _ in range(50):
        load_image(tmp_path / "good.png")
        with pytest.raises(LsegreproError):
            load_image(tmp_path / "bad.jpg")
    assert len(os.listdir("/proc/self/fd")) <= before + 1
    assert Image.open(tmp_path / "good.png").size == (60, 40)
