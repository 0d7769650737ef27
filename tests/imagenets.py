"""A tiny ImageNet in every layout, of pictures drawn here, with defects planted in it."""

from __future__ import annotations

import io
import struct
import tarfile
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
from PIL import Image

SIAMESE, CAT, RETRIEVER, WOLF, BANANA, CARNIVORE = (
    "n02123597", "n02121620", "n02099601", "n02114367", "n07753592", "n02075296")


def picture(seed: int, format: str = "JPEG", mode: str = "RGB", **options) -> bytes:
    """A small picture's encoded bytes."""
    rng = np.random.default_rng(seed)
    pixels = np.repeat(np.repeat(rng.integers(0, 256, (4, 5, 3), np.uint8), 8, 0), 8, 1)
    Image.fromarray(pixels).convert(mode).save(buffer := io.BytesIO(), format, **options)
    return buffer.getvalue()


def broken_exif(seed: int) -> bytes:
    """A picture on its side whose Exif has a number for the maker's name: Pillow's exif_transpose raises."""
    fields = (2, 0x0112, 3, 1, 6, 0, 0x010F, 11, 1, 0x41424344)  # a short 6, a float
    return picture(seed, exif=b"Exif\0\0MM\0*\0\0\0\x08" + struct.pack(">HHHLHHHHLL", *fields) + bytes(4))


def sound() -> dict[str, bytes]:
    """Name to bytes of photographs without defects."""
    return {f"{synset}/{synset}_{k}.JPEG": picture(10 * n + k)
            for n, synset in enumerate((SIAMESE, CAT, RETRIEVER, WOLF, BANANA)) for k in (1, 2, 10)}


def defects() -> dict[str, tuple[str, bytes]]:
    """Name to (kind of remark, bytes) of photographs that are damaged, or odd."""
    whole = picture(100)
    return {
        f"{SIAMESE}/{SIAMESE}_cmyk.JPEG": ("note", picture(101, mode="CMYK")),
        f"{RETRIEVER}/{RETRIEVER}_png.JPEG": ("note", picture(102, "PNG")),
        f"{WOLF}/{WOLF}_exif.JPEG": ("note", broken_exif(103)),
        f"{WOLF}/{WOLF}_cut.JPEG": ("defect", whole[:-80]),
        f"{BANANA}/{BANANA}_text.JPEG": ("defect", b"<html>404</html>"),
        f"{BANANA}/{BANANA}_bomb.JPEG": ("defect", _bomb()),
    }


def _bomb() -> bytes:
    data = bytearray(picture(104, "PNG"))
    data[16:24] = (100_000).to_bytes(4, "big") * 2
    data[29:33] = zlib.crc32(data[12:29]).to_bytes(4, "big")
    return bytes(data)


def tar_of(members: Mapping[str, bytes], format: int = tarfile.GNU_FORMAT) -> bytes:
    """An uncompressed tar's bytes."""
    with tarfile.open(fileobj=(buffer := io.BytesIO()), mode="w", format=format) as tar:
        for name, data in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return buffer.getvalue()


def _by_synset(photographs: Mapping[str, bytes]) -> dict[str, dict[str, bytes]]:
    found: dict[str, dict[str, bytes]] = {}
    for name, data in photographs.items():
        synset, _, file = name.partition("/")
        found.setdefault(synset, {})[file] = data
    return found


def _tars(photographs: Mapping[str, bytes]) -> dict[str, bytes]:
    return {f"{synset}.tar": tar_of(held) for synset, held in _by_synset(photographs).items()}


def _write(folder: Path, files: Mapping[str, bytes]) -> Path:
    for name, data in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return folder


LAYOUTS: dict[str, Callable[[Path, Mapping[str, bytes]], Path]] = {
    "folders": _write,
    "train": lambda root, photographs: _write(root / "train", photographs).parent,
    "kaggle": lambda root, photographs: _write(root / "ILSVRC/Data/CLS-LOC/train", photographs).parents[3],
    "tar of tars": lambda root, photographs: _write(
        root, {"ILSVRC2012_img_train.tar": tar_of(_tars(photographs))}) / "ILSVRC2012_img_train.tar",
    "folder with the tar of tars": lambda root, photographs: _write(
        root, {"ILSVRC2012_img_train.tar": tar_of(_tars(photographs))}),
    "synset tars": lambda root, photographs: _write(root, _tars(photographs)),
    "tar of folders": lambda root, photographs: _write(root, {"all.tar": tar_of(
        {f"./train/{name}": data for name, data in photographs.items()}, tarfile.PAX_FORMAT)}) / "all.tar",
    "mixed": lambda root, photographs: _write(
        root, _tars({n: d for n, d in photographs.items() if n < "n0211"})
        | {n: d for n, d in photographs.items() if n >= "n0211"}),
}
"""Name of a layout to what writes it below a folder and gives its root."""
