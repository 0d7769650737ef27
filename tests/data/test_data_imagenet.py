"""ImageNet in folders of synsets, and the same scaled down."""

import os

import numpy as np
import pytest
from conftest import file_size_limit, refused
from PIL import Image

from lsegrepro.data import images
from lsegrepro.data.imagenet import LAYOUTS, ImageNet, find_synsets, prepare_imagenet

SIAMESE, CAT, RETRIEVER, WOLF, CARNIVORE = "n02123597", "n02121620", "n02099601", "n02114367", "n02075296"
LABEL = {SIAMESE: "cat", CAT: "cat", RETRIEVER: "dog", WOLF: "background"}


def write(root, synsets=(*LABEL, CARNIVORE), numbers=(1, 2, 10), size=(330, 500)):
    """Smooth coloured photographs."""
    for synset in synsets:
        (root / synset).mkdir(parents=True, exist_ok=True)
        for number in numbers:
            colours = np.random.default_rng([number, *synset.encode()]).integers(0, 256, (3, 4, 3), np.uint8)
            picture = Image.fromarray(colours).resize(size[::-1], Image.Resampling.BICUBIC)
            picture.save(root / synset / f"{synset}_{number}.JPEG", quality=95)
    return root


@pytest.mark.parametrize("layout", LAYOUTS)
def test_photographs_are_labelled_by_their_folder(tmp_path, layout):
    write(tmp_path / layout)
    assert find_synsets(tmp_path) == tmp_path / layout
    weak = ImageNet(tmp_path, "all")
    assert weak.names == sorted(f"{synset}/{synset}_{n}.JPEG" for synset in LABEL for n in (1, 2, 10))
    assert weak.labels == [LABEL[name.split("/")[0]] for name in weak.names]
    assert "6 cat, 3 dog, 3 background" in weak.description and "synsets above cat and dog (3)" in weak.description
    assert weak.image(0).shape == (300, 300, 3)


def test_what_is_left_out_is_counted(tmp_path):
    write(tmp_path)
    everything = ImageNet(tmp_path, "all")
    (tmp_path / CAT / "._n02121620_1.JPEG").write_bytes(b"")
    (tmp_path / CAT / "list.txt").write_bytes(b"")
    again = ImageNet(tmp_path, "all")
    assert again.digest == everything.digest
    assert again.description.endswith("; left out: .txt (1), synsets above cat and dog (3)")


def test_roots_that_are_none(tmp_path):
    assert find_synsets(tmp_path) is find_synsets(tmp_path / "nowhere") is None
    (tmp_path / "ILSVRC2012_img_train.tar").write_bytes(b"")
    for call in (ImageNet, lambda root: prepare_imagenet(root, tmp_path / "out")):
        refused(lambda call=call: call(tmp_path), tmp_path, "nXXXXXXXX", "unpack tar files")
    (tmp_path / CARNIVORE).mkdir()
    refused(lambda: ImageNet(tmp_path), tmp_path, "no photograph of ImageNet")


def prepare(source, target, **options):
    return prepare_imagenet(source, target, progress=False, **{"workers": 1, **options})


def test_preparing_keeps_names_labels_and_nearly_every_pixel(tmp_path):
    write(tmp_path / "full" / "train")
    prepared = prepare(tmp_path / "full", tmp_path / "small", workers=2)
    assert (prepared.written, prepared.skipped, prepared.unreadable) == (12, 0, {})
    full, small = ImageNet(tmp_path / "full", "train"), ImageNet(tmp_path / "small", "train")
    assert (small.names, small.labels, small.digest) == (full.names, full.labels, full.digest)
    assert not (tmp_path / "small" / CARNIVORE).exists()
    for i in range(len(full)):
        assert images.image_size(small.root / small.names[i]) == (300, round(500 * 300 / 330))
        assert np.abs(full.image(i).astype(int) - small.image(i)).mean() < 2


def test_preparing_lists_what_cannot_be_read_and_skips_what_is_there(tmp_path):
    write(tmp_path / "full")
    damaged = tmp_path / "full" / CAT / f"{CAT}_2.JPEG"
    damaged.write_bytes(damaged.read_bytes()[:300])
    (tmp_path / "full" / CAT / "phone.heic").write_bytes(b"")
    Image.new("CMYK", (50, 40)).save(tmp_path / "full" / CAT / "cmyk.JPEG")
    Image.new("RGBA", (50, 40)).save(tmp_path / "full" / CAT / "a PNG.JPEG", "PNG")
    prepared = prepare(tmp_path / "full", tmp_path / "small")
    assert (prepared.written, prepared.skipped) == (13, 0) and list(prepared.unreadable) == [f"{CAT}/{CAT}_2.JPEG"]
    assert prepared.left_out == {".heic": 1, "synsets above cat and dog": 3}
    assert f"{CAT}_2.JPEG" in (tmp_path / "small" / "unreadable.json").read_text()
    times = {path: path.stat().st_mtime_ns for path in (tmp_path / "small").glob("n*/*")}
    os.unlink(tmp_path / "small" / CAT / f"{CAT}_1.JPEG")
    prepared = prepare(tmp_path / "full", tmp_path / "small")
    assert (prepared.written, prepared.skipped, len(prepared.unreadable)) == (1, 12, 1)
    changed = [path.name for path, time in times.items() if path.stat().st_mtime_ns != time]
    assert changed == [f"{CAT}_1.JPEG"]


def test_a_full_disk_and_a_target_that_is_the_source(tmp_path):
    write(tmp_path / "full")
    refused(lambda: prepare(tmp_path / "full", tmp_path / "full" / "." / "."), "the source itself")
    with file_size_limit(2000):
        refused(lambda: prepare(tmp_path / "full", tmp_path / "small"), "cannot write", tmp_path / "small")
    assert not list((tmp_path / "small").glob("n*/n*.JPEG"))  # what has its final name is whole
