"""Pascal VOC in its official layout: everything listed is either read or named."""

import shutil

import numpy as np
from conftest import refused, write_voc
from PIL import Image

from lsegrepro import paper
from lsegrepro.data.voc import VocSegmentation, read_mask

IDS = ["2008_000001", "2008_000003", "2010_000005"]


def test_absent_images_are_counted_and_named(voc_tree, voc_masks):
    voc = VocSegmentation(voc_tree)
    assert voc.listed == 5 and voc.absent == ["2008_000002", "2009_000004"]
    assert voc.ids == IDS
    write_voc(voc_tree.parents[1], voc_masks, "train")
    assert VocSegmentation(voc_tree, "train").digest != voc.digest == VocSegmentation(voc_tree).digest
    assert voc.description == "3 of 5 images of VOC 2012 val" and voc.redistributable is False
    damaged = voc_tree / "SegmentationClass" / "2010_000005.png"
    damaged.write_bytes(damaged.read_bytes()[:-40])
    refused(lambda: voc.mask(2), damaged)
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
    Image.fromarray(voc_masks[IDS[0]]).save(voc_tree / "SegmentationClass" / f"{IDS[0]}.png")
    assert np.array_equal(voc.mask(0), voc_masks[IDS[0]])  # grey, as those of the augmented set often are


def test_masks_of_other_kinds_are_refused(tmp_path):
    picture = Image.fromarray(np.resize(np.array([0, 21], np.uint8), (6, 8)))
    picture.save(tmp_path / "a.png")
    refused(lambda: read_mask(tmp_path / "a.png"), tmp_path / "a.png", "21", "as published")
    picture.putpalette([0, 0, 0, 64, 0, 0])  # smaller, and its cats are the index 1
    picture.save(tmp_path / "a.png")
    refused(lambda: read_mask(tmp_path / "a.png"), tmp_path / "a.png", "another palette", "as published")
    picture.convert("RGB").save(tmp_path / "a.png")  # a coloured copy
    refused(lambda: read_mask(tmp_path / "a.png"), tmp_path / "a.png", "palette PNG", "RGB")


def test_a_mask_of_another_size_is_refused(voc_tree):
    path = voc_tree / "SegmentationClass" / f"{IDS[0]}.png"
    with Image.open(path) as mask:
        mask.resize((29, 20)).save(path)
    refused(lambda: VocSegmentation(voc_tree).mask(0),
            path, voc_tree / "JPEGImages" / f"{IDS[0]}.jpg", "29x20", "30x20")


def test_a_photograph_that_is_stored_turned_is_refused(voc_tree):
    """Mirrored or upside down it has the same size, and what it is of lies elsewhere."""
    path, exif = voc_tree / "JPEGImages" / f"{IDS[0]}.jpg", Image.Exif()
    exif[0x0112] = 3
    with Image.open(path) as image:
        image.save(path, exif=exif)
    refused(lambda: VocSegmentation(voc_tree).mask(0), path, "Exif orientation 3", "upright")


def test_a_list_of_something_else_is_refused(voc_tree):
    path = voc_tree / "ImageSets" / "Segmentation" / "val.txt"
    path.write_text("1999_000001\nb")
    refused(lambda: VocSegmentation(voc_tree), path, "none of the 2 images")


def test_wrong_layouts_are_explained(tmp_path, voc_tree):
    refused(lambda: VocSegmentation(tmp_path / "nowhere"),
            tmp_path / "nowhere", "ImageSets/Segmentation", "JPEGImages", "SegmentationClass")
    refused(lambda: VocSegmentation(voc_tree, "test"), "test.txt", "train, val or trainval")
    shutil.rmtree(voc_tree / "JPEGImages")
    refused(lambda: VocSegmentation(voc_tree), "none of the 5 images", "JPEGImages/NAME.jpg")


def test_real_splits(real_data):
    val, train = (VocSegmentation(real_data / "VOCdevkit/VOC2012", split) for split in ("val", "train"))
    assert (len(val), val.listed, len(val.absent)) == (886, paper.VAL_IMAGES, 563)
    assert (len(train), train.listed) == (399, 1464)
    assert not set(val.ids) & set(train.ids) and not set(val.ids) & set(val.absent)


def test_real_val_holds_every_image_of_both_classes(real_data):
    val = VocSegmentation(real_data / "VOCdevkit/VOC2012", "val")
    held = [set(np.unique(val.mask(i)).tolist()) for i in range(len(val))]
    counts = {cls: sum(paper.VOC_INDEX[cls] in indices for indices in held) for cls in paper.CLASSES}
    assert counts == paper.VAL_IMAGES_WITH_CLASS
