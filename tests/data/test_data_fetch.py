"""Fetching a data set from a server on the loopback address: whole or not at all."""

import hashlib
import io
import os
import tarfile

import conftest
import pytest
from chromium import served
from conftest import file_size_limit

from lsegrepro.data import fetch
from lsegrepro.data.fetch import Archive

FILES = {"set/photos/1.jpg": b"one", "set/photos/2.jpg": b"two" * 50_000, "set/masks/1.png": b"a mask"}


def tar(files: dict[str, bytes]) -> bytes:
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w:gz") as archive:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return content.getvalue()


WHOLE = tar(FILES)


@pytest.fixture
def data_set(tmp_path, monkeypatch):
    """One data set ``set``, whose masks stay packed, on a server: its archive there."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    path = tmp_path / "served" / "set.tar.gz"
    path.parent.mkdir()
    path.write_bytes(WHOLE)
    with served(path.parent) as address:
        archive = Archive(f"{address}set.tar.gz", hashlib.sha256(WHOLE).hexdigest(), "set", "nice/set", "set/photos")
        monkeypatch.setattr(fetch, "DATASETS", {"set": (archive,)})
        yield path


def refused(root, *parts):
    """Fetching fails in one line and leaves nothing under the final names."""
    message = conftest.refused(lambda: fetch.fetch("set", root, progress=False), *parts)
    assert not (root / "nice" / "set").exists()
    return message


def test_a_data_set_is_downloaded_checked_and_unpacked(data_set, tmp_path):
    assert fetch.fetch("set", tmp_path / "data", progress=False) == [tmp_path / "data" / "nice" / "set"]
    photos = tmp_path / "data" / "nice" / "set" / "photos"
    assert {path.name: path.read_bytes() for path in photos.iterdir()} == {"1.jpg": b"one", "2.jpg": b"two" * 50_000}
    assert os.listdir(photos.parent) == ["photos"]  # the masks stay packed
    assert {name for name in os.listdir(tmp_path / "data" / "downloads") if name[0] != "."} == {"set.tar.gz"}
    data_set.unlink()
    fetch.fetch("set", tmp_path / "data", progress=False)  # what is there is not fetched again


def test_an_archive_put_there_by_hand_is_unpacked(data_set, tmp_path):
    data_set.unlink()
    (tmp_path / "downloads").mkdir()
    (tmp_path / "downloads" / "set.tar.gz").write_bytes(WHOLE)
    fetch.fetch("set", tmp_path, progress=False)
    assert (tmp_path / "nice" / "set" / "photos" / "1.jpg").read_bytes() == b"one"


@pytest.mark.parametrize("content", [WHOLE[:-100], b"<html>log in</html>", None], ids=["cut", "page", "absent"])
def test_a_wrong_or_missing_archive_is_refused(data_set, tmp_path, content):
    data_set.unlink() if content is None else data_set.write_bytes(content)
    message = refused(tmp_path, "By hand", tmp_path / "downloads" / "set.tar.gz", "same command")
    assert hashlib.sha256(WHOLE).hexdigest() in message
    assert not (tmp_path / "downloads" / "set.tar.gz").exists()


def test_a_kill_while_unpacking_leaves_no_half_data_set(data_set, tmp_path, monkeypatch):
    class Killed(BaseException):
        pass

    def extract(self, archive, folder):
        (tmp_path / "downloads" / "set.tar.gz.unpacked" / "set" / "photos").mkdir(parents=True)
        raise Killed

    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr("pooch.Untar._extract_file", extract)
        fetch.fetch("set", tmp_path, progress=False)
    assert not (tmp_path / "nice").exists()
    fetch.fetch("set", tmp_path, progress=False)
    assert len(list((tmp_path / "nice" / "set" / "photos").iterdir())) == 2


def test_a_full_disk_leaves_no_half_data_set(data_set, tmp_path):
    with file_size_limit(100_000), pytest.raises(OSError, match="too large"):
        fetch.fetch("set", tmp_path, progress=False)
    assert not (tmp_path / "nice" / "set").exists()
    fetch.fetch("set", tmp_path, progress=False)
