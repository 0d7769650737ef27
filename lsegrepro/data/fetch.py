"""Download the public data sets with pooch, checked by their digests, into the layout that profiles expect.

Below the data root, which is ``--data`` or ``$LSEGREPRO_DATA``::

    VOCdevkit/VOC2012/     Pascal VOC 2012: profile key ``data.segmentation``
    pets/images/*.jpg      Oxford-IIIT Pet: a folder for profile key ``data.weak``
    pets/annotations/list.txt
    downloads/             the archives; may be deleted when their data set is unpacked
"""

import logging
import os
import shutil
from pathlib import Path
from typing import NamedTuple

import pooch
from requests import RequestException

from ..files import LsegreproError, locked, one_line


class Archive(NamedTuple):
    """A file to download, and its folder that becomes `target` below the data root."""

    url: str
    sha256: str
    folder: str
    target: str
    member: str  # what of it is unpacked


# The SHA-256 digests are those that TensorFlow Datasets pins; torchvision pins the MD5 digests of the same files:
# 6cd6e144f989b92b3379bac3b3de84fd, 5c4f3ee8e5d25df40f4fd59a7f44e54c and 95a8c909bbe2e81eed6a22bccdf3f68f.
DATASETS: dict[str, tuple[Archive, ...]] = {
    "voc2012": (
        Archive("https://thor.robots.ox.ac.uk/pascal/VOC/voc2012/VOCtrainval_11-May-2012.tar",
                "e14f763270cf193d0b5f74b169f44157a4b0c6efa708f4dd0ff78ee691763bcb",
                "VOCdevkit/VOC2012", target="VOCdevkit/VOC2012", member="VOCdevkit/VOC2012"),
    ),
    "pets": (
        Archive("https://thor.robots.ox.ac.uk/datasets/pets/annotations.tar.gz",
                "52425fb6de5c424942b7626b428656fcbd798db970a937df61750c0f1d358e91",
                # The masks stay packed: training on image labels must not meet them.
                "annotations", target="pets/annotations", member="annotations/list.txt"),
        Archive("https://thor.robots.ox.ac.uk/datasets/pets/images.tar.gz",
                "67195c5e1c01f1ab5f9b6a5d22b8c27a580d896ece458917e61d459337fa318d",
                "images", target="pets/images", member="images"),
    ),
}
"""The data sets that can be fetched: Pascal VOC 2012 (2.0 GB) and Oxford-IIIT Pet (0.8 GB)."""


def fetch(name: str, root: str | Path, progress: bool = True) -> list[Path]:
    """Download a data set of `DATASETS` and unpack it below `root`; what is there already is left as it is.

    Returns the folders of the data set. Raises `LsegreproError` if the file cannot be had or has another digest (with
    what to do by hand), or another process fetches into `root`; OSError if it cannot be written.
    """
    root = Path(root).absolute()
    downloads, targets = root / "downloads", [root / archive.target for archive in DATASETS[name]]
    pooch.get_logger().setLevel(logging.WARNING)
    with locked(downloads / name):
        for archive, target in zip(DATASETS[name], targets, strict=True):
            if target.exists():
                continue
            path = downloads / archive.url.split("/")[-1]
            temporary = downloads / f"{path.name}.unpacked"  # it gets its final name when it is whole
            try:
                shutil.rmtree(temporary, ignore_errors=True)  # what a killed process left
                pooch.retrieve(archive.url, f"sha256:{archive.sha256}", path.name, downloads,
                               pooch.Untar(members=[archive.member], extract_dir=temporary.name),
                               pooch.HTTPDownloader(progressbar=progress, timeout=30))
                target.parent.mkdir(parents=True, exist_ok=True)
                os.replace(temporary / archive.folder, target)
                shutil.rmtree(temporary)
            except (RequestException, ValueError) as error:  # no answer, or a file with another digest
                raise LsegreproError(f"cannot fetch {archive.url}: {one_line(error)}. By hand: download it elsewhere, "
                                     f"put it at {path} (SHA-256 {archive.sha256}), and give the same command "
                                     "again") from error
    return targets
