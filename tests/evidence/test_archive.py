"""Archives: the same content in the same bytes, and anything else is refused by name."""

import numpy as np
import pytest
from conftest import refused

from lsegrepro import LsegreproError
from lsegrepro.evidence.archive import read_archive, write_archive


@pytest.fixture
def path(tmp_path):
    write_archive(tmp_path / "a.npz", "example", {"answer": 42}, {"x": np.arange(300, dtype=np.uint16)})
    return tmp_path / "a.npz"


def unreadable(path, *parts, kind="example"):
    refused(lambda: read_archive(path, kind), f"{path} is refused", "fetch or compute it again", *parts)


@pytest.mark.parametrize("array", [
    np.arange(-3, 3, dtype=np.int64).reshape(2, 3), np.float32([1.5, -2, np.inf]), np.array([[7]], np.uint16),
    np.zeros((0, 4), np.uint32), np.array([3, 250], np.uint8), np.array([True, False]), np.array([b"ab", b"c"]),
    np.arange(3, dtype=">i4"), np.arange(12, dtype=np.uint32).reshape(3, 4)[:, ::2],
], ids=lambda array: f"{array.dtype.str}{array.shape}")
def test_every_array_comes_back(tmp_path, array):
    write_archive(tmp_path / "a.npz", "example", {"answer": 42}, {"x": array})
    write_archive(tmp_path / "b.npz", "example", {"answer": 42}, {"x": array})
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()
    header, arrays = read_archive(tmp_path / "a.npz", "example")
    x = arrays["x"]
    assert header == {"answer": 42} and x.shape == array.shape and x.dtype == array.dtype.newbyteorder("=")
    assert np.array_equal(x, array) and len(list(tmp_path.iterdir())) == 2  # nothing temporary stays


def test_another_content_is_refused(path):
    with np.load(path) as stored:
        arrays = dict(stored)
    np.savez(path, **arrays | {"x": arrays["x"][::-1]})  # a whole file, of numbers whose bytes changed places
    unreadable(path, "digest")


def test_a_damaged_file_is_refused(path):
    """Some bytes of a zip file, its dates for example, are no content; all others are noticed."""
    whole, refusals, places = path.read_bytes(), 0, range(0, path.stat().st_size, 5)
    for place in places:
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0x55]) + whole[place + 1 :])
        try:
            header, arrays = read_archive(path, "example")
            assert header == {"answer": 42} and np.array_equal(arrays["x"], np.arange(300))
        except LsegreproError:
            refusals += 1
    assert refusals > 0.7 * len(places)
    for length in [*range(0, len(whole), 97), len(whole) - 1]:
        path.write_bytes(whole[:length])
        unreadable(path)


def test_absent_and_foreign_files(path, tmp_path):
    unreadable(path, "it is 'example' version 3", kind="other")
    np.savez(tmp_path / "foreign.npz", a=np.zeros(3))
    unreadable(tmp_path / "foreign.npz")
    refused(lambda: read_archive(tmp_path / "none.npz", "example"), "cannot read")
