"""What a profile names: VOC's photographs without masks, and several sets as one."""

import numpy as np
import pytest
from conftest import refused
from PIL import Image

from lsegrepro.data.imagenet import ImageNet
from lsegrepro.data.pets import OxfordPets
from lsegrepro.data.sources import WeakSets, open_weak
from lsegrepro.data.voc import VocWeak
from lsegrepro.data.weak import WeakFolder


def save(path, grey):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((30, 40, 3), grey, np.uint8)).save(path)


@pytest.fixture
def data(tmp_path):
    """A data root with the four layouts: ``weak``, ``pets``, ``imagenet`` and VOC."""
    for k in range(4):
        for label in ("cat", "dog", "background"):
            save(tmp_path / "weak" / label / f"{k}.jpg", k)
        save(tmp_path / "imagenet" / "n02123597" / f"n02123597_{k}.JPEG", k)
        save(tmp_path / "imagenet" / "n02114367" / f"n02114367_{k}.JPEG", k)
        save(tmp_path / "pets" / "images" / f"Bengal_{k}.jpg", k)
    (tmp_path / "pets" / "annotations").mkdir()
    (tmp_path / "pets" / "annotations" / "list.txt").write_text("".join(f"Bengal_{k} 6 1 2\n" for k in range(4)))
    return tmp_path


@pytest.fixture
def voc(data):
    """VOC 2012 with its image labels: two with masks, a difficult one, one with both animals, one absent."""
    root = data / "VOCdevkit" / "VOC2012"
    marks = {"m1": "1 -1", "m2": "-1 -1", "c1": "1 -1", "c2": "1 -1", "d1": "-1 1", "both": "1 1", "hard": "0 -1",
             "hard2": "1 0", **{f"b{k}": "-1 -1" for k in range(9)}, "gone": "-1 -1"}
    for folder, lists in {"Main": {cls: [f"{n} {m.split()[k]:>2}" for n, m in marks.items()]
                                   for k, cls in enumerate(("cat_trainval", "dog_trainval"))},
                          "Segmentation": {"train": ["m1"], "val": ["m2"]}}.items():
        (root / "ImageSets" / folder).mkdir(parents=True)
        for name, lines in lists.items():
            (root / "ImageSets" / folder / f"{name}.txt").write_text("\n".join(lines) + "\n")
    for k, name in enumerate(marks):
        if name != "gone":
            save(root / "JPEGImages" / f"{name}.jpg", 100 + k)
    return root


# VOC without masks


def test_voc_without_masks(voc):
    weak = VocWeak(voc, "all")
    assert dict(zip(weak.names, weak.labels, strict=True)) == {
        "JPEGImages/c1.jpg": "cat", "JPEGImages/c2.jpg": "cat", "JPEGImages/d1.jpg": "dog",
        **{f"JPEGImages/b{k}.jpg": "background" for k in range(9)}}
    assert "2 cat, 1 dog, 9 background" in weak.description and "1 of the 13 listed are absent" in weak.description
    assert abs(int(weak.image(0)[150, 150, 0]) - 102) <= 1
    train, heldout = VocWeak(voc, "train", heldout=0.4), VocWeak(voc, "heldout", heldout=0.4)
    assert {*train.names, *heldout.names} == set(weak.names) and not set(train.names) & set(heldout.names)


def test_voc_lists_of_something_else(voc):
    (voc / "ImageSets" / "Main" / "dog_trainval.txt").write_text("m1 2\n")
    refused(lambda: VocWeak(voc), "1, 0 or -1")


def test_voc_is_not_trained_on_what_it_may_be_measured_on(voc):
    lists = voc / "ImageSets" / "Segmentation"
    (lists / "train_aug.txt").write_text("/JPEGImages/c1.jpg /SegmentationClassAug/c1.png\n")
    assert "JPEGImages/c1.jpg" not in VocWeak(voc, "all").names
    for path in lists.iterdir():
        path.unlink()
    refused(lambda: VocWeak(voc), "Segmentation", "lsegrepro prepare voc2012")


# By layout, and joined


def test_each_layout_is_opened_as_what_it_is(data, voc):
    layouts = {"weak": WeakFolder, "pets": OxfordPets, "imagenet": ImageNet, "VOCdevkit/VOC2012": VocWeak}
    for name, layout in layouts.items():
        weak = open_weak(data, name, "all", heldout=0.0)
        alone = layout(data / name, "all")
        assert (weak.digest, weak.names, weak.labels) == (alone.digest, alone.names, alone.labels)
        assert weak.image(0).shape == (300, 300, 3)
    both = open_weak(data, "pets + VOCdevkit/VOC2012", "all", heldout=0.1)
    assert set(both.labels) == {"cat", "dog", "background"}
    for names in ("pets+pets", "pets+", ""):
        refused(lambda names=names: open_weak(data, names, "train", heldout=0.1), repr(names))


def test_joined_sets_are_their_parts_end_to_end(data, voc):
    first, second = OxfordPets(data / "pets", "all"), VocWeak(voc, "all")
    both = WeakSets({"pets": first, "voc": second})
    assert len(both) == len(first) + len(second) and both.labels == first.labels + second.labels
    assert both.names == [f"pets/{n}" for n in first.names] + [f"voc/{n}" for n in second.names]
    for index in (0, len(first) - 1, len(first), len(both) - 1):
        part, place = (first, index) if index < len(first) else (second, index - len(first))
        np.testing.assert_array_equal(both.image(index), part.image(place))
    assert both.sources == ["pets"] * len(first) + ["voc"] * len(second)
    first.sources = ["here"] * len(first)
    assert WeakSets({"pets": first, "voc": second}).sources == ["here"] * len(first) + ["voc"] * len(second)
    others = [first, WeakSets({"voc": second, "pets": first})]
    assert len({both.digest, *(other.digest for other in others)}) == 3
    assert first.description in both.description and second.description in both.description
