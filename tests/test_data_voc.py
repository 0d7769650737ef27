"""Pascal VOC in its official layout: everything listed is either read or named."""

import os
import shutil
import zlib

import numpy as np
import pytest
from conftest import one_line, write_voc
from hostile import blobs, encoded, png, zeros
from PIL import Image

from lsegrepro import LsegreproError, paper
from lsegrepro.data.voc import VocSegmentation
from lsegrepro.evidence.scoring import count_regions
from lsegrepro.config import Superpixels

IDS = ["2008_000001", "2008_000003", "2010_000005"]


@pytest.mark.parametrize("above", [0, 1, 2])
def test_the_root_is_found_from_above(voc_tree, above):
    root = voc_tree.parents[above - 1] if above else voc_tree
    voc = VocSegmentation(root, "val")
    assert voc.ids == IDS and len(voc) == 3


@pytest.mark.fault("masks", "a mask or its photograph missing", "counted, and named beside every number")
def test_absent_images_are_counted_and_named(voc_tree):
    voc = VocSegmentation(voc_tree)
    assert voc.listed == 5 and voc.absent == ["2008_000002", "2009_000004"]
    assert voc.description == "3 of 5 images of VOC 2012 val" and voc.redistributable is False
    (voc_tree / "JPEGImages" / "2008_000001.jpg").unlink()  # a mask without its photograph
    (voc_tree / "SegmentationClass" / "2008_000003.png").unlink()  # a photograph without its mask
    less = VocSegmentation(voc_tree)
    assert less.ids == IDS[2:]
    assert less.absent == ["2008_000001", "2008_000002", "2008_000003", "2009_000004"]
    assert less.digest != voc.digest


def test_masks_are_indices_with_void(voc_tree, voc_masks):
    voc = VocSegmentation(voc_tree)
    for i, name in enumerate(voc.ids):
        mask = voc.mask(i)
        assert mask.dtype == np.uint8 and np.array_equal(mask, voc_masks[name])
        assert voc.image(i).shape == (*mask.shape, 3) and voc.image(i).dtype == np.uint8
    assert (voc.mask(0) == 255).sum() == 10 and (voc.mask(0) == paper.VOC_INDEX["cat"]).sum() == 100
    assert set(np.unique(voc.mask(2))) == {*range(21), 255}


def test_a_grey_mask_of_indices_is_read_too(voc_tree, voc_masks):
    """Masks of the augmented set are often stored without a palette."""
    Image.fromarray(voc_masks[IDS[0]]).save(voc_tree / "SegmentationClass" / f"{IDS[0]}.png")
    assert np.array_equal(VocSegmentation(voc_tree).mask(0), voc_masks[IDS[0]])


@pytest.mark.fault("masks", "RGB, RGBA, 16-bit or bilevel in place of palette", "refused with one line")
@pytest.mark.parametrize("mode", ["RGB", "RGBA", "I;16", "1"])
def test_a_mask_of_another_kind_is_refused(voc_tree, mode):
    path = voc_tree / "SegmentationClass" / f"{IDS[1]}.png"
    with Image.open(path) as mask:
        colours = mask.convert("RGB")
    if mode == "I;16":
        Image.fromarray(np.zeros((30, 20), np.uint16)).save(path)
    else:
        colours.convert(mode).save(path)
    with pytest.raises(LsegreproError) as error:
        VocSegmentation(voc_tree).mask(1)
    one_line(error, path, "palette PNG", mode)


@pytest.mark.fault("masks", "an index that VOC does not have", "refused with one line that names it")
@pytest.mark.parametrize("index", [21, 128, 254])
def test_an_unknown_index_is_refused(voc_tree, voc_masks, index):
    mask = voc_masks[IDS[0]].copy()
    mask[3, 3] = index
    write_voc(voc_tree.parents[1], {**voc_masks, IDS[0]: mask})
    with pytest.raises(LsegreproError) as error:
        VocSegmentation(voc_tree).mask(0)
    one_line(error, IDS[0], f"[{index}]", "255 (void)")


@pytest.mark.fault("masks", "empty, text, truncated", "refused with one line")
@pytest.mark.parametrize("content", [b"", b"text", None])
def test_a_damaged_mask_is_named(voc_tree, content):
    path = voc_tree / "SegmentationClass" / f"{IDS[0]}.png"
    path.write_bytes(path.read_bytes()[:-40] if content is None else content)
    with pytest.raises(LsegreproError) as error:
        VocSegmentation(voc_tree).mask(0)
    one_line(error, path, "cannot read the mask")


@pytest.mark.fault("masks", "20,000 x 20,000 pixels, an animation, PostScript, a pipe",
                   "refused with one line, or absent")
def test_a_mask_that_somebody_made_to_break_the_program(voc_tree):
    path = voc_tree / "SegmentationClass" / f"{IDS[0]}.png"
    frames = encoded("GIF", blobs(9, 9), "P")
    for content in (png(20_000, 20_000, zeros(20_000)), png(10_001, 10_000, b"", depth=8), frames, encoded("EPS"),
                    png(8, 8, zlib.compress(bytes(16)), (b"zTXt", b"x\0\0" + zeros(1 << 25)))):
        path.write_bytes(content)
        with pytest.raises(LsegreproError) as error:
            VocSegmentation(voc_tree).mask(0)
        one_line(error, path)
    path.unlink()
    os.mkfifo(path)
    assert VocSegmentation(voc_tree).absent == [*sorted(["2008_000001", "2008_000002", "2009_000004"])]


@pytest.mark.fault("masks", "of another size than their photograph", "refused with one line that names both sizes")
def test_a_mask_of_another_size_is_refused(voc_tree, voc_masks):
    path = voc_tree / "SegmentationClass" / f"{IDS[0]}.png"
    with Image.open(path) as mask:
        mask.resize((29, 20)).save(path)
    with pytest.raises(LsegreproError) as error:
        count_regions(VocSegmentation(voc_tree), "val", Superpixels(), None, progress=False, workers=1)
    one_line(error, IDS[0], "20", "29", "30")


@pytest.mark.parametrize("listing, said", [
    (b"../../secret\n", "expected names of images, not paths"), (b"/etc/passwd\n", "not paths"),
    (b"2008_000001\n2008_000001\n", "twice"), (b"\xff\xfe\0", "no text"), (b"a\0b", "not paths"), (b"", "is empty"),
])
def test_a_list_of_anothers_making(voc_tree, listing, said):
    path = voc_tree / "ImageSets" / "Segmentation" / "val.txt"
    path.write_bytes(listing)
    with pytest.raises(LsegreproError) as error:
        VocSegmentation(voc_tree)
    one_line(error, path, said)


def test_a_damaged_photograph_is_named(voc_tree):
    path = voc_tree / "JPEGImages" / f"{IDS[0]}.jpg"
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(LsegreproError) as error:
        VocSegmentation(voc_tree).image(0)
    one_line(error, path)


def test_wrong_layouts_are_explained(tmp_path, voc_tree):
    with pytest.raises(LsegreproError) as error:
        VocSegmentation(tmp_path / "nowhere")
    one_line(error, tmp_path / "nowhere", "ImageSets/Segmentation", "JPEGImages", "SegmentationClass")
    with pytest.raises(LsegreproError) as error:
        VocSegmentation(voc_tree, "test")
    one_line(error, "test.txt", "train, val and trainval")
    (voc_tree / "ImageSets" / "Segmentation" / "train.txt").write_text("\n")
    with pytest.raises(LsegreproError) as error:
        VocSegmentation(voc_tree, "train")
    one_line(error, "train.txt", "empty")
    shutil.rmtree(voc_tree / "JPEGImages")
    with pytest.raises(LsegreproError) as error:
        VocSegmentation(voc_tree)
    one_line(error, "none of the 5 images", IDS[0])


def test_the_digest_is_that_of_the_list(voc_tree, voc_masks):
    first = VocSegmentation(voc_tree).digest
    write_voc(voc_tree.parents[1], voc_masks, "train")
    assert VocSegmentation(voc_tree, "train").digest != first == VocSegmentation(voc_tree).digest


# Real photographs


def test_real_splits(real_data):
    val, train = VocSegmentation(real_data, "val"), VocSegmentation(real_data, "train")
    assert (len(val), val.listed, len(val.absent)) == (886, paper.VAL_IMAGES, 563)
    assert (len(train), train.listed) == (399, 1464)
    assert not set(val.ids) & set(train.ids) and not set(val.ids) & set(val.absent)
    lists = val.root / "ImageSets" / "Segmentation"
    for voc, name in ((val, "val_present.txt"), (train, "train_present.txt")):
        if (lists / name).is_file():
            assert set(voc.ids) == set((lists / name).read_text().split())


def test_real_masks_load(real_data):
    val = VocSegmentation(real_data, "val")
    for i in range(0, len(val), 60):
        image, mask = val.image(i), val.mask(i)
        assert image.shape == (*mask.shape, 3) and image.dtype == mask.dtype == np.uint8


def test_real_val_holds_every_image_of_both_classes(real_data):
    val = VocSegmentation(real_data, "val")
    counts = {cls: 0 for cls in paper.CLASSES}
    for i in range(len(val)):
        mask = val.mask(i)
        for cls in paper.CLASSES:
            counts[cls] += bool((mask == paper.VOC_INDEX[cls]).any())
    assert counts == paper.VAL_IMAGES_WITH_CLASS
