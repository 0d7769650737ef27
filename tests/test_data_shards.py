"""Prepared shards: what is in the tars, against tarfile and the set they were made of; kills, defects, refusals."""

import io
import json
import os
import re
import signal
import subprocess
import sys
import tarfile
import time
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT, SyntheticWeak, file_size_limit, one_line
from hypothesis import given, settings
from hypothesis import strategies as st
from kills import processes_of
from PIL import Image

from lsegrepro import LsegreproError, cli, paper
from lsegrepro.data import shards
from lsegrepro.data.index import Index, read_index
from lsegrepro.data.joined import open_weak
from lsegrepro.data.preparation import TYPICAL_BYTES, parse_size, prepare_shards
from lsegrepro.data.weak import WeakFolder
from lsegrepro.files import sha256

LABELS = ("cat", "dog", "background")


def smooth(seed: int, height: int = 90, width: int = 120) -> np.ndarray:
    """A picture like a photograph, without the noise that no JPEG keeps."""
    small = np.random.default_rng(seed).integers(0, 256, (5, 6, 3)).astype(np.uint8)
    return np.asarray(Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC))


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Thirty pictures in three folders; names with dots and letters of all kinds."""
    root = tmp_path_factory.mktemp("weak")
    for label, count in zip(LABELS, (6, 9, 15), strict=True):
        (root / label).mkdir()
        for i in range(count):
            Image.fromarray(smooth(100 * count + i)).save(root / label / f"a.{label}.été {i}.png")
    return root


@pytest.fixture(scope="module")
def weak(folder) -> WeakFolder:
    return WeakFolder(folder, "all")


SMALL = 8 * TYPICAL_BYTES
"""A shard of eight photographs: four shards of the thirty."""


def prepare(source, out, **options):
    return prepare_shards(source, out, **{"workers": 1, "shard_bytes": SMALL, "progress": False} | options)


@pytest.fixture(scope="module")
def prepared(weak, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("shards") / "out"
    prepare(weak, out)
    return out


def contents(out: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in out.iterdir() if path.name != ".lock"}


def members(tar: Path) -> list[tuple[str, bytes]]:
    with tarfile.open(tar) as archive:
        return [(member.name, archive.extractfile(member).read()) for member in archive]


# What is in a shard


def test_a_shard_follows_the_webdataset_convention(prepared, weak):
    """Members of one sample follow each other and share all before the first dot; read with tarfile alone."""
    seen = []
    for tar in sorted(prepared.glob("[0-9]*.tar")):
        found = members(tar)
        for (jpg, data), (said, text) in zip(found[::2], found[1::2], strict=True):
            key = re.fullmatch(r"(\d{9})\.jpg", jpg)[1]
            assert said == f"{key}.json"
            told, i = json.loads(text), int(key)
            assert told == {"label": weak.labels[i], "class": LABELS.index(weak.labels[i]), "name": weak.names[i]}
            with Image.open(io.BytesIO(data)) as image:
                assert (image.format, image.mode, image.size) == ("JPEG", "RGB", (300, 300))
                assert [layer[1:3] for layer in image.layer] == [(1, 1)] * 3  # 4:4:4
                assert np.abs(np.asarray(image).astype(int) - weak.image(i)).mean() < 1.5
            seen.append(i)
    assert sorted(seen) == list(range(30)) and seen != sorted(seen)


def test_webdataset_reads_them(prepared, weak):
    wds = pytest.importorskip("webdataset", reason="the webdataset package is not installed")
    tars = [str(tar) for tar in sorted(prepared.glob("[0-9]*.tar"))]
    found = {said["name"]: image for image, said in
             wds.WebDataset(tars, shardshuffle=False).decode("rgb8").to_tuple("jpg", "json")}
    assert sorted(found) == sorted(weak.names) and all(image.shape == (300, 300, 3) for image in found.values())


def test_the_index_points_at_the_members(prepared, weak):
    index = read_index(prepared / "index.npz")
    assert list(index.names) == weak.names and [LABELS[code] for code in index.labels] == weak.labels
    by_key = {name: data for tar in prepared.glob("[0-9]*.tar") for name, data in members(tar)}
    for i in range(30):
        assert index.read(i) == by_key[f"{i:09d}.jpg"]
        assert np.array_equal(index.image(i), np.asarray(Image.open(io.BytesIO(by_key[f"{i:09d}.jpg"]))))


def test_the_record_says_what_there_is(prepared, weak):
    record = json.loads((prepared / "shards.json").read_text())
    assert record["prepared"] == 30 and record["counts"] == dict(zip(LABELS, (6, 9, 15), strict=True))
    assert record["plan"]["source"] == weak.digest and record["defective"] == {}
    assert record["digest"] == read_index(prepared / "index.npz").digest
    assert [tar["file"] for tar in record["tars"]] == [f"{k:06d}.tar" for k in range(4)]
    assert all(tar["sha256"] == sha256(prepared / tar["file"]) for tar in record["tars"])


@pytest.mark.parametrize("split", ["train", "heldout", "all"])
def test_shards_open_as_the_folder_does(prepared, folder, split):
    """Through the profile's own door: the same photographs in the same order, in each split."""
    found = open_weak(prepared.parent, prepared.name, split, heldout=0.4, fraction=0.8)
    same = WeakFolder(folder, split, heldout=0.4, fraction=0.8)
    assert isinstance(found, Index) and list(found.names) == same.names
    assert f"{len(same)} photographs with weak labels (" in found.description and repr(split) in found.description
    assert np.abs(found.image(3).astype(int) - same.image(3)).mean() < 1.5


def test_training_draws_the_same_photographs_from_shards(prepared, folder):
    from lsegrepro.training import batches

    a, b = (batches.Decoded(open_weak(root.parent, root.name, "all", heldout=0.1), progress=False)
            for root in (prepared, folder))
    assert a.codes.tolist() == b.codes.tolist() and a.digest != b.digest
    batch = np.array([3, 29])
    assert (a.batch(batch).int() - b.batch(batch).int()).abs().float().mean() < 1.5


# Which photograph goes where


@settings(max_examples=50)
@given(st.lists(st.integers(0, 2), min_size=1, max_size=200), st.integers(1, 30))
def test_spread_is_even_in_every_label(codes, count):
    codes = np.array(codes, np.uint8)
    parts = shards.spread(codes, count)
    assert len(parts) == min(count, len(codes))
    assert sorted(np.concatenate(parts).tolist()) == list(range(len(codes)))
    for chosen in (codes >= 0, codes == 0, codes == 1, codes == 2):
        counts = [int(chosen[part].sum()) for part in parts]
        assert max(counts) - min(counts) <= 1
    assert all(np.array_equal(a, b) for a, b in zip(parts, shards.spread(codes.copy(), count), strict=True))


def test_the_assignment_is_fixed_for_ever():
    """A preparation that was begun by an older version goes on."""
    codes = np.repeat(np.arange(3, dtype=np.uint8), [3, 4, 5])
    assert [part.tolist() for part in shards.spread(codes, 3)] == [[0, 3, 11, 6], [10, 1, 9, 5], [7, 4, 8, 2]]


def test_a_shard_is_mixed_inside():
    """No label, and no neighbour in the source, follows the other: shards can be read straight through."""
    codes = np.repeat(np.arange(3, dtype=np.uint8), 1000)
    for part in shards.spread(codes, 3):
        places = [np.flatnonzero(codes[part] == code).mean() for code in range(3)]
        assert all(abs(place - 500) < 5 * 1000 / np.sqrt(12 * 333) for place in places)
        for code in range(3):
            own = part[codes[part] == code]
            assert abs(np.corrcoef(own[1:], own[:-1])[0, 1]) < 5 / np.sqrt(333)


def test_a_million_photographs_are_assigned_in_little_memory():
    codes = np.repeat(np.arange(3, dtype=np.uint8), list(paper.TRAINING_IMAGES.values()))
    tracemalloc.start()
    try:
        parts = shards.spread(codes, 220)
        held, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert held < 9 * len(codes) and peak < 50 * len(codes)
    assert all(100 < (codes[part] == 0).sum() for part in parts)


# Any number of processes, any number of kills


def test_processes_and_repetition_change_no_byte(prepared, weak, tmp_path):
    done = prepare(weak, tmp_path / "out", workers=2)
    assert contents(tmp_path / "out") == contents(prepared)
    assert (done.shards, done.kept, done.photographs) == (4, 0, 30)
    assert done.rate > 0 and done.rate_per_core > 0
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").glob("0*")}
    again = prepare(weak, tmp_path / "out")
    assert (again.kept, again.photographs, again.defective) == (4, 0, {})
    assert before == {path: path.stat().st_mtime_ns for path in (tmp_path / "out").glob("0*")}
    assert contents(tmp_path / "out") == contents(prepared)


@pytest.mark.fault("archives", tried="a shard that was cut, altered or lost, or its record",
                   survived="that shard is made again, no other")
@pytest.mark.parametrize("harm", ["tar", "record", "cut", "gone"])
def test_a_shard_that_is_not_whole_is_made_again(prepared, weak, tmp_path, harm):
    out = tmp_path / "out"
    prepare(weak, out)
    tar, record = out / "000002.tar", out / "000002.json"
    data = tar.read_bytes()
    if harm == "tar":
        tar.write_bytes(data[:5000] + bytes([data[5000] ^ 1]) + data[5001:])
    if harm == "cut":
        tar.write_bytes(data[:-512])
    if harm == "gone":
        tar.unlink()
    if harm == "record":
        record.write_text('{"plan":')
    assert prepare(weak, out).kept == 3
    assert contents(out) == contents(prepared)


KILLED = """
import sys, time
sys.path[:0] = sys.argv[3:]
from test_data_shards import Slow, prepare
if __name__ == "__main__":
    prepare(Slow(), sys.argv[1], workers=int(sys.argv[2]))
"""


class Slow(SyntheticWeak):
    """Thirty-two images, of which it takes a second to prepare all."""

    def __init__(self):
        super().__init__(11)

    def image(self, index):
        time.sleep(0.03)
        return np.asarray(smooth(index, 300, 300))


@pytest.mark.fault("kills", tried="SIGKILL of data prepare, alone and with two workers",
                   survived="whole shards are kept, no worker stays, the same bytes")
@pytest.mark.parametrize("workers, kills", [(1, 2), (2, 1)])
def test_a_killed_preparation_goes_on(tmp_path, workers, kills):
    """SIGKILL while the shards are made: what is whole is kept, nothing else is left, no process stays behind."""
    script, out = tmp_path / "killed.py", tmp_path / "out"
    script.write_text(KILLED)
    marked = os.environ | {"OMP_NUM_THREADS": "1", "LSEGREPRO_TEST_SCRIPT": str(script)}
    for kill in range(kills):
        process = subprocess.Popen([sys.executable, "-B", script, out, str(workers), ROOT, ROOT / "tests"],
                                   env=marked)
        try:
            give_up = time.monotonic() + 120
            while len(list(out.glob("0*.json"))) <= kill:
                assert process.poll() is None and time.monotonic() < give_up
                time.sleep(0.01)
            time.sleep(0.05)
        finally:
            process.send_signal(signal.SIGKILL)
            process.wait()
        assert not (out / "index.npz").exists(), "it ended before it was killed"
    with pytest.raises(LsegreproError) as error:
        shards.open_indexed(out)
    one_line(error, out, "not finished")
    give_up = time.monotonic() + 20
    while processes_of(str(script)):
        assert time.monotonic() < give_up, "a worker outlived its parent"
        time.sleep(0.05)
    kept = {tar: tar.stat().st_mtime_ns for tar in out.glob("0*.tar") if tar.with_suffix(".json").is_file()}
    done = prepare(Slow(), out)
    assert done.kept == len(kept) >= kills
    assert all(tar.stat().st_mtime_ns == changed for tar, changed in kept.items())
    prepare(Slow(), tmp_path / "whole")
    assert contents(out) == contents(tmp_path / "whole")


# Defects and refusals


class Broken(SyntheticWeak):
    """Photograph 4 is damaged; with `lost`, the disk goes away at photograph 7."""

    lost = False

    def image(self, index):
        if index == 4:
            raise LsegreproError("cannot read the photograph x: image file is truncated")
        if index == 7 and self.lost:
            raise LsegreproError("cannot read x: Input/output error") from OSError(5, "Input/output error")
        return smooth(index, 300, 300)


@pytest.mark.fault("photographs", tried="a damaged photograph among those to prepare",
                   survived="left out, with its reason in the record")
def test_a_defective_photograph_is_reported_and_left_out(tmp_path):
    done = prepare(Broken(), tmp_path / "out")
    name = Broken().names[4]
    assert done.defective == {name: "cannot read the photograph x: image file is truncated"}
    assert len(done.index) == 11 and name not in done.index.names
    record = json.loads((tmp_path / "out" / "shards.json").read_text())
    assert record["defective"] == done.defective and record["prepared"] == 11
    assert prepare(Broken(), tmp_path / "out").defective == done.defective  # also by who only finds them there


@pytest.mark.fault("disk", tried="a disk that goes away while photographs are prepared",
                   survived="an error, not a million defects; with the disk back it goes on")
def test_a_lost_disk_is_no_defect(tmp_path):
    source = Broken()
    source.lost = True
    for workers in (1, 2):
        with pytest.raises(LsegreproError) as error:
            prepare(source, tmp_path / "out", workers=workers)
        one_line(error, "Input/output error")
        assert not (tmp_path / "out" / "index.npz").exists()
    assert len(prepare(Broken(), tmp_path / "out").index) == 11  # it came back


def test_another_preparation_is_refused(prepared, weak, folder):
    before = contents(prepared)
    other = WeakFolder(folder, "train", heldout=0.5)
    for source, options, part in ((other, {}, "source"), (weak, {"shard_bytes": 4 * TYPICAL_BYTES}, "shards = 4")):
        with pytest.raises(LsegreproError) as error:
            prepare(source, prepared, **options)
        one_line(error, prepared, part, "choose another folder")
    assert contents(prepared) == before


def test_a_folder_of_other_things_is_refused(folder, weak):
    before = sorted(folder.rglob("*"))
    with pytest.raises(LsegreproError) as error:
        prepare(weak, folder)
    one_line(error, folder, "choose a new folder")
    assert sorted(folder.rglob("*")) == before


@pytest.mark.fault("processes", tried="two preparations into one folder", survived="the second is told")
def test_two_preparations_at_once_are_refused(prepared, weak):
    import fcntl

    with open(prepared / ".lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(LsegreproError) as error:
            prepare(weak, prepared)
    one_line(error, prepared, "another process is preparing")


@pytest.mark.fault("disk", tried="a disk that fills while shards are written",
                   survived="nothing half-written; with room it goes on")
def test_a_full_disk_leaves_nothing_half_written(weak, tmp_path):
    out = tmp_path / "out"
    with file_size_limit(20_000), pytest.raises(LsegreproError) as error:
        prepare(weak, out)
    one_line(error, "cannot write", out)
    assert sorted(path.name for path in out.iterdir()) == ["shards.json"]
    assert len(prepare(weak, out).index) == 30


def test_nothing_to_prepare_is_said(tmp_path):
    empty = SyntheticWeak(0)
    with pytest.raises(LsegreproError) as error:
        prepare(empty, tmp_path / "out")
    one_line(error, "nothing to prepare")


class Dies(SyntheticWeak):
    def image(self, index):
        os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.fault("processes", tried="a worker process that is killed",
                   survived="one line with the cure; finished shards are kept")
def test_a_worker_that_dies_is_said(tmp_path):
    with pytest.raises(LsegreproError) as error:
        prepare(Dies(8), tmp_path / "out", workers=2)
    one_line(error, "run the same command again", "--workers")


# Rates, sizes and the command


def test_reading_rate(prepared):
    found = shards.reading_rate(read_index(prepared / "index.npz"), images=20, threads=2)
    assert found["images"] == 20 and found["threads"] == 2
    assert 0 < found["images_per_second"] and 0 < found["images_per_second_per_core"] < 100_000


@pytest.mark.parametrize("text, size", [("256MB", 256e6), ("1.5 GiB", 1.5 * 2**30), ("64k", 64e3), ("4096", 4096),
                                        ("2TB", 2e12), ("10B", 10)])
def test_sizes(text, size):
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "MB", "-1MB", "1.2.3MB", "1 XB", "nan", "1e9"])
def test_what_is_no_size(text):
    with pytest.raises(LsegreproError) as error:
        parse_size(text)
    one_line(error, repr(text), "256MB")


def test_the_command(folder, tmp_path, capsys):
    out, size = tmp_path / "out", f"{SMALL / 1000:g}kB"
    words = ["data", "prepare", str(folder), "--out", str(out), "--workers", "1", "--shard-size", size]
    assert cli.main(words) == 0
    said = capsys.readouterr().out.splitlines()
    assert said[0].startswith("30 photographs in 4 shards (0 there before); 0 left out") and "photographs/s" in said[1]
    # An index is a source too: what is prepared already is prepared again, of the same pixels but for the JPEG.
    words[2:5] = [str(out / "index.npz"), "--out", str(tmp_path / "again")]
    assert cli.main(words) == 0
    a, b = (read_index(path / "index.npz") for path in (out, tmp_path / "again"))
    assert list(a.names) == list(b.names) and np.abs(a.image(5).astype(int) - b.image(5)).mean() < 1
    assert cli.main([*words[:-1], "none"]) == 2 and "no size" in capsys.readouterr().err


def test_the_index_of_shards_can_move(prepared, tmp_path):
    (tmp_path / "moved").mkdir()
    for name, data in contents(prepared).items():
        (tmp_path / "moved" / name).write_bytes(data)
    assert shards.open_indexed(tmp_path / "moved", "all").image(0).shape == (300, 300, 3)
