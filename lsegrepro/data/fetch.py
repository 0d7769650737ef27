"""Get the public data sets from their homes, checked, into the layout that profiles expect.

Below the data root, which is ``--data`` or ``$LSEGREPRO_DATA``::

    VOCdevkit/VOC2012/     Pascal VOC 2012: profile key ``data.segmentation``
    pets/images/*.jpg      Oxford-IIIT Pet: a folder for profile key ``data.weak``
    pets/annotations/list.txt
    downloads/NAME/        the archives; may be deleted when their data set is unpacked
"""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, urlsplit

from ..files import LsegreproError
from ..oldlocks import locked_folder
from . import archives
from .download import Refused, Resuming


@dataclass(frozen=True)
class Archive:
    """One file of a data set, and what becomes of it.

    Attributes
    ----------
    file : str
    urls : tuple of str
        Its own addresses, in the order in which they are tried.
    sha256 : str
    size : int
        Bytes.
    unpacked : int
        Bytes it may have when it is decompressed, at most.
    prefix, target : str
        The folder in the archive, and the folder below the data root that it becomes.
    holds : dict of str to int
        Shell patterns below that folder, and how many files of each there must be.
    wanted : tuple of str
        Patterns of the files to unpack.
    """

    file: str
    urls: tuple[str, ...]
    sha256: str
    size: int
    unpacked: int
    prefix: str
    target: str
    holds: dict[str, int]
    wanted: tuple[str, ...] = ("*",)


# The SHA-256 digests are those that TensorFlow Datasets pins; torchvision pins the MD5 digests of the same files:
# 6cd6e144f989b92b3379bac3b3de84fd, 5c4f3ee8e5d25df40f4fd59a7f44e54c and 95a8c909bbe2e81eed6a22bccdf3f68f.
DATASETS: dict[str, tuple[Archive, ...]] = {
    "voc2012": (
        Archive(
            "VOCtrainval_11-May-2012.tar",
            ("https://thor.robots.ox.ac.uk/pascal/VOC/voc2012/VOCtrainval_11-May-2012.tar",
             "http://host.robots.ox.ac.uk/pascal/VOC/voc2012/VOCtrainval_11-May-2012.tar"),
            "e14f763270cf193d0b5f74b169f44157a4b0c6efa708f4dd0ff78ee691763bcb",
            size=1_999_639_040, unpacked=1_999_639_040, prefix="VOCdevkit/VOC2012", target="VOCdevkit/VOC2012",
            holds={"JPEGImages/*.jpg": 17_125, "SegmentationClass/*.png": 2_913, "ImageSets/Segmentation/val.txt": 1},
        ),
    ),
    "pets": (
        Archive(
            "annotations.tar.gz",
            ("https://thor.robots.ox.ac.uk/datasets/pets/annotations.tar.gz",
             "https://www.robots.ox.ac.uk/~vgg/data/pets/data/annotations.tar.gz"),
            "52425fb6de5c424942b7626b428656fcbd798db970a937df61750c0f1d358e91",
            size=19_173_078, unpacked=500_000_000, prefix="annotations", target="pets/annotations",
            holds={"list.txt": 1},
            wanted=("list.txt",),  # the masks stay packed: no pixel's label may reach training
        ),
        Archive(
            "images.tar.gz",
            ("https://thor.robots.ox.ac.uk/datasets/pets/images.tar.gz",
             "https://www.robots.ox.ac.uk/~vgg/data/pets/data/images.tar.gz"),
            "67195c5e1c01f1ab5f9b6a5d22b8c27a580d896ece458917e61d459337fa318d",
            size=791_918_971, unpacked=2_000_000_000, prefix="images", target="pets/images",
            holds={"*.jpg": 7_390}, wanted=("*.jpg",),
        ),
    ),
}
"""The data sets that can be fetched: name to archives."""


def fetch(
    name: str,
    root: str | Path,
    mirrors: Sequence[str] = (),
    *,
    timeout: float = 30.0,
    attempts: int = 5,
    wait: float = 1.0,
    progress: bool = True,
    say: Callable[[str], None] = print,
) -> list[Path]:
    """Get a data set, or whatever of it is missing, and unpack it below `root`.

    Each archive is looked for in ``root/downloads/NAME`` first, then at each mirror, then at its own addresses.
    A download that stops is continued by the next call; an archive whose checksum is wrong is deleted.

    Parameters
    ----------
    name : {"voc2012", "pets"}
    root : path
        The data root, made if it is not there.
    mirrors : sequence of str
        Addresses (http or https) of folders with the same files.
    timeout, attempts, wait
        As in `download.Resuming`, for each address.
    progress : bool
    say : callable
        Takes a line about each thing done.

    Returns
    -------
    list of Path
        The folders of the data set.

    Raises
    ------
    LsegreproError
        If no address gives the file: with each one's reason, and what to do by hand. If a folder of that name holds
        something else, the disk is full, or another process is at it.
    """
    if name not in DATASETS:
        raise LsegreproError(f"unknown data set {name!r}: choose {' or '.join(DATASETS)}")
    for mirror in mirrors:
        if urlsplit(mirror).scheme not in ("http", "https") or not urlsplit(mirror).hostname:
            raise LsegreproError(f"the mirror {mirror!r} is no address: it begins with http:// or https://")
    if not 0 < timeout <= 86_400:
        raise LsegreproError(f"the timeout must be above 0 and at most 86400 seconds, got {timeout:g}")
    root = Path(root).absolute()
    found = DATASETS[name]
    _check_whole(root, found)
    if not all(os.path.lexists(root / archive.target) for archive in found):
        with _alone(root / "downloads" / name) as folder:
            for archive in found:
                target = root / archive.target
                if not os.path.lexists(target):
                    _room(archive, folder)
                    part = folder / f"{archive.file}.part"
                    download = Resuming(part, archive.size, timeout, attempts, wait, progress)
                    packed = _archive(archive, folder, mirrors, download, say)
                    say(f"unpacking {packed}")
                    archives.extract(packed, target, limit=archive.unpacked, prefix=archive.prefix,
                                     wanted=archive.wanted)
        _check_whole(root, found)
    return [root / archive.target for archive in found]


def _archive(
    archive: Archive, folder: Path, mirrors: Sequence[str], download: Resuming, say: Callable[[str], None]
) -> Path:
    """The archive with the right checksum in `folder`, downloaded if it is not there."""
    reasons = []
    for url in (*(_below(mirror, archive.file) for mirror in mirrors), *archive.urls):
        try:
            return _retrieve(archive, folder, url, download, say)
        except Refused as reason:
            reasons.append(f"{url}: {reason}")
            say(f"refused: {reasons[-1]}")
    raise LsegreproError(f"cannot fetch {archive.file} ({'; '.join(reasons)}). By hand: {_by_hand(archive, folder)}")


def _retrieve(archive: Archive, folder: Path, url: str, download: Resuming, say: Callable[[str], None]) -> Path:
    """The archive from this address, or raise `Refused`."""
    try:
        import pooch
    except ImportError as error:
        by_hand = _by_hand(archive, folder)
        raise LsegreproError(f"fetching needs pooch: pip install pooch. By hand: {by_hand}") from error
    pooch.get_logger().setLevel(logging.WARNING)

    def downloader(url: str, output_file: str, pooch: object) -> None:
        say(f"fetching {url}" + (f" from byte {download.have:,} on" if download.have else ""))
        download(url, output_file)

    while True:
        try:
            path = pooch.retrieve(url, f"sha256:{archive.sha256}", archive.file, folder, downloader=downloader)
        except LsegreproError:
            raise
        except ValueError as error:  # pooch's word for a wrong checksum
            download.part.unlink(missing_ok=True)
            if not download.continued:
                raise Refused("what it gives has another checksum; it was deleted") from error
            # The first bytes may have come from another address: once more, from the beginning.
        except OSError as error:
            raise LsegreproError(f"cannot write to {folder}: {error.strerror or error}") from error
        else:
            download.part.unlink(missing_ok=True)
            return Path(path)


def _by_hand(archive: Archive, folder: Path) -> str:
    return (f"download {archive.urls[0]} elsewhere ({archive.size:,} bytes, SHA-256 {archive.sha256}), put it at "
            f"{folder / archive.file}, and give the same command again")


def _below(mirror: str, file: str) -> str:
    return mirror if mirror.endswith(f"/{file}") else f"{mirror.rstrip('/')}/{quote(file)}"


def _check_whole(root: Path, found: Sequence[Archive]) -> None:
    """Refuse folders that are there and lack files: they are somebody's own, and are left alone."""
    for archive in found:
        target = root / archive.target
        for pattern, wanted in archive.holds.items() if os.path.lexists(target) else ():
            count = sum(1 for _ in target.glob(pattern))
            if count < wanted:
                raise LsegreproError(f"{target} is there, but has {count:,} of {wanted:,} files {pattern}: move it "
                                     "away to have the whole fetched, or use it as it is")


def _room(archive: Archive, folder: Path) -> None:
    """Refuse now, not an hour later, if the disk has no room for the rest of the archive and what comes out of it."""
    there = sum(p.stat().st_size for p in folder.glob(f"{archive.file}*") if p.is_file())
    needed, free = 2 * archive.size - there, shutil.disk_usage(folder).free
    if free < needed:
        raise LsegreproError(f"{archive.file} needs {needed / 1e9:.1f} GB in {folder}, and {free / 1e9:.1f} GB are "
                             "free: make room, or choose another folder with --data")


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[Path]:
    """Make the folder of downloads, and hold it against other processes; a kill lets it go."""
    busy = f"another process fetches into {folder}: wait until it is done"
    with locked_folder(folder, busy, "choose a folder that can be written with --data"):
        for stale in folder.glob("tmp????????"):  # pooch's, of a process that was killed
            stale.unlink()
        yield folder
