"""Photographs with labels from fetched data sets: Oxford-IIIT Pet, VOC without masks, and both as one."""

import json
import os
import sys

import numpy as np
import pytest
from conftest import one_line
from PIL import Image

from lsegrepro import LsegreproError, cli
from lsegrepro.data import fetch, images, pets
from lsegrepro.data.index import Names
from lsegrepro.data.joined import Joined, open_weak
from lsegrepro.data.pets import OxfordPets
from lsegrepro.data.voc_weak import VocWeak
from lsegrepro.data.weak import WeakFolder
from lsegrepro.training.batches import label_codes

HEAD = "#Image CLASS-ID SPECIES BREED ID\n#ID: 1:37 Class ids\n#SPECIES: 1:Cat 2:Dog\n"
CATS = [f"Abyssinian_{k}" for k in range(1, 21)]
DOGS = [f"beagle_{k}" for k in range(1, 31)]


def save(path, k, kind="JPEG", size=(30, 40)):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((*size, 3), k, np.uint8)).save(path, kind)


@pytest.fixture
def root(tmp_path):
    """Pets as they are unpacked: 20 cats and 30 dogs, of which some have the defects of the real ones."""
    (tmp_path / "annotations").mkdir()
    rows = [*(f"{name} 1 1 1" for name in CATS), *(f"{name} 5 2 1" for name in DOGS)]
    (tmp_path / "annotations" / "list.txt").write_text(HEAD + "".join(f"{row}\n" for row in rows))
    for k, name in enumerate(CATS + DOGS):
        save(tmp_path / "images" / f"{name}.jpg", k)
    save(tmp_path / "images" / "Abyssinian_2.jpg", 1, "PNG")
    save(tmp_path / "images" / "Abyssinian_3.jpg", 2, "GIF")
    whole = (tmp_path / "images" / "Abyssinian_4.jpg").read_bytes()
    (tmp_path / "images" / "Abyssinian_4.jpg").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "images" / "beagle_1.jpg").write_bytes(b"<html>")
    (tmp_path / "images" / "beagle_2.jpg").write_bytes(b"")
    (tmp_path / "images" / "beagle_3.jpg").unlink()
    (tmp_path / "images" / "Abyssinian_100.mat").write_bytes(b"not a photograph")
    save(tmp_path / "images" / "unlisted_1.jpg", 7)
    return tmp_path


def opened(root, split="all", **options):
    return OxfordPets(root, split, progress=False, **options)


def test_labels_are_those_of_the_list(root):
    found = opened(root)
    assert dict(zip(found.names, found.labels, strict=True)) == (
        {f"images/{name}.jpg": "cat" for name in CATS if name != "Abyssinian_4"}
        | {f"images/{name}.jpg": "dog" for name in DOGS[3:]})
    assert len(found) == len(found.names) == 46
    assert found.absent == ["images/beagle_3.jpg"]
    assert "19 cat, 27 dog" in found.description and "50 listed, 1 are absent and 3 cannot" in found.description


def test_defects_are_found_named_and_given_a_reason(root):
    found = opened(root).unreadable
    assert set(found) == {"images/Abyssinian_4.jpg", "images/beagle_1.jpg", "images/beagle_2.jpg"}
    assert all(str(root) not in reason and name in reason for name, reason in found.items())
    assert json.loads((root / pets.REPORT).read_text())["unreadable"] == found


def test_wrong_kinds_named_jpg_are_read(root):
    found = opened(root)
    for name, grey in (("Abyssinian_2", 1), ("Abyssinian_3", 2), ("beagle_30", 49)):
        image = found.image(found.names.index(f"images/{name}.jpg"))
        assert image.shape == (300, 300, 3) and image.dtype == np.uint8 and np.abs(image.astype(int) - grey).max() <= 1


def test_all_photographs_are_decoded_once(root, monkeypatch):
    first, read, load = opened(root), [], images.load_image
    monkeypatch.setattr(images, "load_image", lambda path: read.append(path) or load(path))
    assert opened(root).unreadable == first.unreadable and read == []
    save(root / "images" / "beagle_1.jpg", 9)  # mended: they are read again
    opened(root)
    assert len(read) == 49


@pytest.mark.parametrize("content", ["{", "[]", '{"made_for": "x"}'])
def test_a_damaged_report_is_made_again(root, content):
    (root / pets.REPORT).write_text(content)
    assert len(opened(root).unreadable) == 3
    assert len(json.loads((root / pets.REPORT).read_text())["unreadable"]) == 3


def test_a_folder_that_may_only_be_read(root, monkeypatch):
    def refuse(*_):
        raise LsegreproError("read-only")

    monkeypatch.setattr(pets, "write_json", refuse)
    assert len(opened(root).unreadable) == 3 and not (root / pets.REPORT).exists()


def test_splits_go_by_name_and_do_not_move(root):
    train, held, everything = opened(root, "train"), opened(root, "heldout"), opened(root)
    assert not set(train.names) & set(held.names) and {*train.names, *held.names} == set(everything.names)
    assert len({train.digest, held.digest, everything.digest}) == 3 and opened(root, "train").digest == train.digest
    (root / "images" / "beagle_30.jpg").unlink()
    fewer = opened(root, "train")
    assert set(train.names) - set(fewer.names) <= {"images/beagle_30.jpg"}
    assert set(opened(root, "train", fraction=0.3).names) < set(train.names)


def test_the_split_is_that_of_folders(root, tmp_path_factory):
    folder = tmp_path_factory.mktemp("weak")
    for label in ("cat", "dog", "background"):
        for name in CATS + DOGS:
            save(folder / label / f"{name}.jpg", 0)
    same = {name.removeprefix("cat/") for name in WeakFolder(folder, "heldout").names if name.startswith("cat/")}
    assert {name.removeprefix("images/") for name in opened(root, "heldout").names} <= same


def test_masks_are_never_opened(root):
    trimaps = root / "annotations" / "trimaps"
    trimaps.mkdir()
    for name in CATS:
        (trimaps / f"{name}.png").write_bytes(b"a mask")
    paths, listening = [], True
    sys.addaudithook(lambda event, args: paths.append(str(args[0])) if listening and event == "open" else None)
    opened(root).image(0)
    listening = False  # a hook stays for good
    assert any("Abyssinian_1.jpg" in path for path in paths)
    assert not any("trimaps" in path for path in paths)


@pytest.mark.parametrize("line", ["Abyssinian_1 1 3 1", "Abyssinian_1 1 1", "../x 1 1 1", "a/b 1 1 1", "/etc/x 1 1 1",
                                  "Abyssinian_1 1 2 1"])
def test_a_list_of_another_kind_is_refused(root, line):
    listing = root / "annotations" / "list.txt"
    listing.write_text(listing.read_text() + line + "\n")
    with pytest.raises(LsegreproError) as error:
        opened(root)
    one_line(error, listing, f"line {len(CATS + DOGS) + 4}")


def test_no_list_no_photographs(root):
    with pytest.raises(LsegreproError) as error:
        opened(root / "images")
    one_line(error, "data fetch pets")
    for path in (root / "images").iterdir():
        path.unlink()
    with pytest.raises(LsegreproError) as error:
        opened(root, "train")
    one_line(error, root / "images", "0 of the 50")


@pytest.fixture
def voc(tmp_path):
    """VOC 2012 with its labels of photographs: masks of two, a difficult one, one with both animals."""
    root = tmp_path / "VOCdevkit" / "VOC2012"
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


def test_voc_without_masks(voc):
    found = VocWeak(voc, "all")
    assert dict(zip(found.names, found.labels, strict=True)) == {
        "JPEGImages/c1.jpg": "cat", "JPEGImages/c2.jpg": "cat", "JPEGImages/d1.jpg": "dog",
        **{f"JPEGImages/b{k}.jpg": "background" for k in range(9)}}
    assert found.absent == ["gone.jpg"] and "2 cat, 1 dog, 9 background" in found.description
    assert abs(int(found.image(0)[150, 150, 0]) - 102) <= 1
    train, held = VocWeak(voc, "train", heldout=0.4), VocWeak(voc, "heldout", heldout=0.4)
    assert {*train.names, *held.names} == set(found.names) and not set(train.names) & set(held.names)


def test_voc_refuses_to_train_on_what_it_may_be_measured_on(voc):
    for path in (voc / "ImageSets" / "Segmentation").iterdir():
        path.unlink()
    with pytest.raises(LsegreproError) as error:
        VocWeak(voc)
    one_line(error, "Segmentation", "data fetch voc2012")


def test_voc_lists_of_another_kind(voc):
    (voc / "ImageSets" / "Main" / "dog_trainval.txt").write_text("m1 2\n")
    with pytest.raises(LsegreproError) as error:
        VocWeak(voc)
    one_line(error, "dog_trainval.txt")
    (voc / "ImageSets" / "Main" / "dog_trainval.txt").unlink()
    with pytest.raises(LsegreproError) as error:
        VocWeak(voc)
    one_line(error, "dog_trainval.txt", "data fetch voc2012")


def test_joined_is_its_parts_end_to_end(root, voc):
    first, second = opened(root), VocWeak(voc, "all")
    both = Joined({"pets": first, "voc": second})
    assert len(both) == len(first) + len(second) and both.labels == first.labels + second.labels
    assert [*both.names] == [f"pets/{n}" for n in first.names] + [f"voc/{n}" for n in second.names]
    for index in (0, len(first) - 1, len(first), -1):
        kept = index % len(both)
        part, place = (first, kept) if kept < len(first) else (second, kept - len(first))
        np.testing.assert_array_equal(both.image(index), part.image(place))
        assert both.names[index].endswith(part.names[place])
    assert both.sources.tolist() == ["pets"] * len(first) + ["voc"] * len(second)
    first.sources = ["here"] * len(first)
    assert both.sources.tolist() == ["here"] * len(first) + ["voc"] * len(second)
    assert both.names[45:48] == [both.names[k] for k in (45, 46, 47)]
    with pytest.raises(IndexError):
        both.image(len(both))
    others = [Joined({"pets": first}), Joined({"voc": second, "pets": first}), Joined({"a": first, "voc": second})]
    assert len({both.digest, *(other.digest for other in others)}) == 4
    assert first.description in both.description and second.description in both.description
    with pytest.raises(LsegreproError) as error:
        Joined({})
    one_line(error)


def test_joined_with_a_set_that_has_codes(root):
    class Many:
        labels = np.array([2, 2, 0], np.uint8)
        names = Names.pack(["x", "y", "z"])
        digest, description = "0", "three"

        def __len__(self):
            return 3

        def image(self, index):
            return np.full((300, 300, 3), index, np.uint8)

    words = opened(root)
    both = Joined({"many": Many(), "pets": words})
    np.testing.assert_array_equal(label_codes(both), [2, 2, 0, *label_codes(words)])
    assert both.labels.dtype == np.uint8 and both.names[2] == "many/z" and both.image(1).max() == 1


def test_a_profile_names_what_was_fetched(root, voc, monkeypatch, tmp_path):
    """The folders are those that `fetch` unpacks to; both together have all three labels."""
    data = tmp_path / "data"
    for archive in fetch.DATASETS["pets"]:
        (data / archive.target).parent.mkdir(parents=True, exist_ok=True)
        os.symlink(root / archive.prefix, data / archive.target)
    (data / fetch.DATASETS["voc2012"][0].target).parent.mkdir()
    os.symlink(voc, data / fetch.DATASETS["voc2012"][0].target)
    both = open_weak(data, "pets+VOCdevkit/VOC2012", "train", heldout=0.1)
    assert isinstance(both, Joined) and set(both.labels) == {"cat", "dog", "background"}
    assert isinstance(open_weak(data, "pets", "train", heldout=0.1), OxfordPets)
    for names in ("pets+pets", "pets+", ""):
        with pytest.raises(LsegreproError) as error:
            open_weak(data, names, "train", heldout=0.1)
        one_line(error, repr(names))

    (tmp_path / "own.toml").write_text('[data]\nkind = "photographs"\nweak = "pets+VOCdevkit/VOC2012"\nheldout = 0.1\n')
    from lsegrepro.runs.folder import open_run

    assert open_run(tmp_path / "own.toml", data=data).weak("train").digest == both.digest


def test_the_command_names_what_cannot_be_read(root, monkeypatch, capsys):
    monkeypatch.setattr(fetch, "fetch", lambda name, data, *_, **__: [data / "pets"])
    assert cli.main(["data", "fetch", "pets", "--data", str(root.parent)]) == 2
    (root.parent / "pets").symlink_to(root)
    capsys.readouterr()
    assert cli.main(["data", "fetch", "pets", "--data", str(root.parent)]) == 0
    printed, said = capsys.readouterr()
    assert "50 listed" in printed and "left out: images/beagle_1.jpg: " in said
