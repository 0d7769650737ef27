"""The packed index: memory at full scale, reading in place from threads and processes, refusals."""

import io
import multiprocessing
import os
import pickle
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from conftest import file_size_limit, one_line
from hypothesis import given, settings
from hypothesis import strategies as st

from lsegrepro.data import index as module
from lsegrepro.data.index import Index, index_path, label_codes, part_of, read_index
from lsegrepro.data.names import Names
from lsegrepro.data.weak import in_split
from lsegrepro.files import LsegreproError
from lsegrepro.training.batches import sides

TEXT = st.text(st.characters(codec="utf-8"), max_size=30)


@settings(max_examples=60, deadline=None)
@given(names=st.lists(TEXT, max_size=30), data=st.data())
def test_names_are_a_sequence_of_strings(names, data):
    packed = Names.pack(names)
    assert list(packed) == names and len(packed) == len(names)
    assert packed[1:-1] == names[1:-1] and packed[::-2] == names[::-2]
    rows = data.draw(st.lists(st.integers(0, len(names) - 1), max_size=60)) if names else []
    assert list(packed.take(np.array(rows, np.int64))) == [names[row] for row in rows]
    with pytest.raises(IndexError):
        packed[len(names)]
    if names:
        assert packed[-1] == names[-1]


def test_names_of_other_encodings_survive():
    name = os.fsdecode(b"caf\xe9.JPEG")
    assert list(Names.pack([name])) == [name]
    assert in_split("train", 0.5, 0.5)(name) in (True, False)


def test_take_in_several_pieces():
    packed, rows = Names.pack(map(str, range(1000))), np.random.default_rng(0).integers(0, 1000, 120_001)
    assert list(packed.take(rows)) == [str(row) for row in rows]


@pytest.mark.parametrize(("blob", "ends"), [
    (np.zeros(3, np.uint8), np.array([0, 2])), (np.zeros(3, np.uint8), np.array([1, 3])),
    (np.zeros(3, np.uint8), np.array([0, 3, 2, 3])), (np.zeros(3, np.int8), np.array([0, 3])),
    (np.zeros(0, np.uint8), np.zeros(0, np.int64)), (np.zeros(3, np.uint8), np.array([0, 3], np.int32)),
])
def test_names_that_do_not_fit_are_refused(blob, ends):
    with pytest.raises(LsegreproError):
        Names(blob, ends)


def synthetic(n: int) -> Index:
    """An index as large as ImageNet's, of plain files that are not there."""
    rng = np.random.default_rng(0)
    names = Names.pack(f"n{i // 1300:08d}/n{i // 1300:08d}_{i}.JPEG" for i in range(n))
    return Index(Path("/absent"), rng.integers(0, 3, n).astype(np.uint8), names, names,
                 np.arange(n, dtype=np.int32), np.zeros(n, np.int64), rng.integers(1, 2**18, n), "synthetic")


def test_memory_and_time_of_a_full_imagenet(tmp_path, record_property, capsys):
    """1.4 million entries: below 100 MB, and the times of what is done with them, reported."""
    full = synthetic(1_400_000)
    assert full.nbytes < 100_000_000
    seconds = {}
    for name, call in (("write", lambda: full.write(tmp_path / "full.npz")),
                       ("read", lambda: read_index(tmp_path / "full.npz")),
                       ("split", lambda: part_of(full, "train", heldout=0.01))):
        begun = time.perf_counter()
        found = call()
        seconds[name] = round(time.perf_counter() - begun, 2)
    record_property("seconds", seconds)
    with capsys.disabled():
        print(f"\n  1.4 million photographs: {full.nbytes / 1e6:.0f} MB in memory, "
              f"{(tmp_path / 'full.npz').stat().st_size / 1e6:.0f} MB on disk, seconds {seconds}")
    assert 0.985 < len(found) / len(full) < 0.995 and found.nbytes < full.nbytes
    assert label_codes(found) is found.labels  # the sampler takes them as they are


@pytest.fixture
def photographs(tmp_path):
    """An index of 200 members of two containers, and their bytes."""
    rng = np.random.default_rng(0)
    contents = [rng.bytes(int(size)) for size in rng.integers(1, 3000, 200)]
    offsets, container = [], rng.integers(0, 2, 200).astype(np.int32)
    files = [io.BytesIO(), io.BytesIO()]
    for content, number in zip(contents, container, strict=True):
        files[number].write(b"header")
        offsets.append(files[number].tell())
        files[number].write(content)
    for number, file in enumerate(files):
        (tmp_path / f"{number}.tar").write_bytes(file.getvalue())
    index = Index(tmp_path, rng.integers(0, 3, 200).astype(np.uint8), Names.pack(f"{i}.JPEG" for i in range(200)),
                  Names.pack(["0.tar", "1.tar"]), container, np.array(offsets), np.array([len(c) for c in contents]))
    return index, contents


def test_threads_read_while_files_are_closed(photographs, monkeypatch):
    """With room for one open file, each read closes the other container's."""
    monkeypatch.setattr(module, "OPEN_FILES", 1)
    index, contents = photographs
    before = len(os.listdir("/proc/self/fd"))
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(index.read, [*range(200)] * 5)) == contents * 5
    vars(index).pop("_opened")
    assert len(os.listdir("/proc/self/fd")) <= before


def _sum(index):
    return [index.read(i) for i in range(len(index))]


def test_other_processes_read(photographs):
    index, contents = photographs
    assert index.read(3) == contents[3]  # with files open when it is sent
    with multiprocessing.get_context("fork").Pool(2) as pool:
        assert pool.map(_sum, [index, index]) == [contents, contents]
    assert index.read(3) == contents[3]


def test_a_pickled_index_keeps_its_names_once():
    small = synthetic(5)
    again = pickle.loads(pickle.dumps(small))
    assert again.files is again.names and again.digest == small.digest


def test_writing_and_reading_again(tmp_path, photographs):
    index, contents = photographs
    index.write(tmp_path / "index.npz")
    again = read_index(tmp_path / "index.npz")
    assert again.digest == index.digest and _sum(again) == contents
    assert list(again.names) == list(index.names) and again.counts == index.counts
    moved = tmp_path.rename(tmp_path.with_name(f"{tmp_path.name}-moved"))  # both together
    assert _sum(read_index(moved / "index.npz")) == contents
    (moved / "sub").mkdir()
    index = read_index(moved / "index.npz")
    index.write(moved / "sub" / "other.npz")  # photographs that lie elsewhere are named by their whole path
    assert _sum(read_index(moved / "sub" / "other.npz")) == contents
    assert _sum(read_index(moved / "sub" / "other.npz", root=moved)) == contents
    moved.rename(tmp_path)


def test_the_digest_is_of_the_photographs_not_of_their_place(photographs):
    index, _ = photographs
    def with_(**changed):
        return Index(**{f: getattr(index, f) for f in Index.__dataclass_fields__} | changed).digest
    assert with_(root=Path("/elsewhere"), offset=index.offset + 512, description="other") == index.digest
    assert len({index.digest, with_(labels=(index.labels + 1) % 3), with_(size=index.size + 1),
                with_(names=Names.pack(f"{i}.jpeg" for i in range(200)))}) == 4


def test_a_split_is_that_of_the_file_names(photographs):
    index, _ = photographs
    parts = {s: part_of(index, s, heldout=0.3, fraction=0.5) for s in ("train", "heldout", "all")}
    for split, part in parts.items():
        keep = in_split(split, 0.3, 0.5)
        assert list(part.names) == [name for name in index.names if keep(name)]
        assert [part.read(i) for i in range(len(part))] == [index.read(i) for i in range(200) if keep(index.names[i])]
    assert len(sides(parts["all"].labels, "cat", "others").present) == parts["all"].counts["cat"]


def test_which_index_a_name_means(tmp_path):
    assert index_path(tmp_path / "in") is None
    (tmp_path / "in.npz").touch()
    assert index_path(tmp_path / "in") == index_path(tmp_path / "in.npz") == tmp_path / "in.npz"
    (tmp_path / "in").mkdir()
    assert index_path(tmp_path / "in") == tmp_path / "in.npz"
    (tmp_path / "in" / "index.npz").touch()
    assert index_path(tmp_path / "in") == tmp_path / "in" / "index.npz"


# Refusals


@pytest.mark.parametrize("changed", [
    {"labels": np.full(200, 3, np.uint8)}, {"labels": np.zeros(199, np.uint8)}, {"labels": np.zeros(200, np.int64)},
    {"container": np.full(200, 2, np.int32)}, {"container": np.full(200, -1, np.int32)},
    {"offset": np.full(200, -1)}, {"size": np.zeros(200, np.int64)},
])
def test_an_index_that_makes_no_sense_is_refused(photographs, changed):
    index, _ = photographs
    with pytest.raises(LsegreproError) as error:
        Index(**{f: getattr(index, f) for f in Index.__dataclass_fields__} | changed)
    one_line(error, "an index")


@pytest.mark.parametrize("name", ["../outside", "/etc/hostname", "a/../../b"])
def test_a_file_outside_of_the_root_is_not_opened(tmp_path, name):
    one = np.ones(1, np.int64)
    index = Index(tmp_path, np.zeros(1, np.uint8), Names.pack(["a"]), Names.pack([name]), np.zeros(1, np.int32),
                  one * 0, one)
    with pytest.raises(LsegreproError) as error:
        index.read(0)
    one_line(error, name, "outside")


def test_files_that_changed_are_named(tmp_path, photographs):
    index, _ = photographs
    last = int(np.flatnonzero(index.container == 1)[-1])
    with open(tmp_path / "1.tar", "r+b") as file:
        file.truncate(int(index.offset[last]))
    with pytest.raises(LsegreproError) as error:
        index.read(last)
    one_line(error, f"{last}.JPEG", "1.tar", "ends after 0 of")
    (tmp_path / "0.tar").unlink()
    with pytest.raises(LsegreproError) as error:
        read_index_of(index, tmp_path).read(int(np.flatnonzero(index.container == 0)[0]))
    one_line(error, "0.tar", "No such file", "index the photographs again")


def read_index_of(index, folder):
    index.write(folder / "again.npz")
    return read_index(folder / "again.npz")


def test_bytes_that_are_no_photograph_are_named(photographs):
    with pytest.raises(LsegreproError) as error:
        photographs[0].image(7)
    one_line(error, "7.JPEG in", ".tar")


def test_a_damaged_index_is_refused(tmp_path, photographs):
    path = tmp_path / "index.npz"
    photographs[0].write(path)
    whole = path.read_bytes()
    for data in (whole[:-1], whole[: len(whole) // 2], b"", whole[:300] + b"\0" + whole[301:]):
        path.write_bytes(data)
        with pytest.raises(LsegreproError) as error:
            read_index(path)
        one_line(error, path, "refused")
    with pytest.raises(LsegreproError) as error:
        read_index(tmp_path / "absent.npz")
    one_line(error, "absent.npz", "cannot read")


def test_a_full_disk_leaves_the_old_index(tmp_path, photographs):
    index, _ = photographs
    index.write(tmp_path / "index.npz")
    before = (tmp_path / "index.npz").read_bytes()
    with file_size_limit(1000), pytest.raises(LsegreproError) as error:
        index.write(tmp_path / "index.npz")
    one_line(error, "index.npz")
    assert (tmp_path / "index.npz").read_bytes() == before
