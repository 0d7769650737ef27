"""Weak labels from folders: splits that do not move."""

import numpy as np
import pytest
from conftest import refused
from PIL import Image

from lsegrepro.data import LABELS, label_codes
from lsegrepro.data.weak import WeakFolder


def write(root, numbers, labels=LABELS, extension=".png"):
    for label in labels:
        (root / label).mkdir(parents=True, exist_ok=True)
        for n in numbers:
            (root / label / f"{label}_{n}{extension}").write_bytes(b"")  # names are enough for a split
    return root


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return write(tmp_path_factory.mktemp("weak"), range(300))


def test_splits_are_disjoint_and_whole(root):
    train, heldout, everything = (WeakFolder(root, split) for split in ("train", "heldout", "all"))
    assert not set(train.names) & set(heldout.names)
    assert sorted(train.names + heldout.names) == sorted(everything.names)
    assert len(everything) == 900 and abs(len(heldout) - 135) < 5 * np.sqrt(900 * 0.15 * 0.85)
    for split in (train, heldout, everything):
        assert [name.split("/")[0] for name in split.names] == split.labels
        assert len(set(split.names)) == len(split) and set(split.labels) == set(LABELS)
    assert len({train.digest, heldout.digest, everything.digest}) == 3


def test_splits_stay_when_files_are_added(tmp_path):
    write(tmp_path, range(60))
    before = WeakFolder(tmp_path), WeakFolder(tmp_path, "heldout")
    write(tmp_path, range(60, 120))
    after = WeakFolder(tmp_path), WeakFolder(tmp_path, "heldout")
    for old, new in zip(before, after, strict=True):
        assert set(old.names) < set(new.names) and old.digest != new.digest
    assert WeakFolder(tmp_path).digest == after[0].digest


def test_fractions_are_nested_and_inside_their_split(root):
    parts = [set(WeakFolder(root, fraction=f).names) for f in (1 / 8, 1 / 4, 1 / 2, 1.0)]
    for small, large, share in zip(parts, parts[1:], (1 / 8, 1 / 4, 1 / 2), strict=False):
        assert small < large
        assert abs(len(small) / len(parts[-1]) - share) < 5 * np.sqrt(share / len(parts[-1]))
    assert not parts[0] & set(WeakFolder(root, "heldout").names)


def test_images_are_prepared_and_what_is_left_out_is_counted(tmp_path, rng):
    pixels = rng.integers(0, 256, (310, 400, 3)).astype(np.uint8)
    for label in LABELS:
        (tmp_path / label).mkdir()
        Image.fromarray(pixels).save(tmp_path / label / "a.PNG")
    everything = WeakFolder(tmp_path, "all")
    assert everything.names == ["cat/a.PNG", "dog/a.PNG", "background/a.PNG"] and everything.labels == list(LABELS)
    expected = np.asarray(Image.fromarray(pixels).resize((387, 300), Image.Resampling.BILINEAR))[:, 43:343]
    assert np.array_equal(everything.image(0), expected) and "left out" not in everything.description
    for name in ("a.heic", "notes.txt", "._cat_0.png"):
        (tmp_path / "cat" / name).write_bytes(b"")
    (tmp_path / "dog" / "more").mkdir()
    everything = WeakFolder(tmp_path, "all")
    assert len(everything) == 3
    assert everything.description.endswith("; left out: .heic (1), .txt (1), subfolders (1)")


INDEX = "file,label,source\ncat/cat_0.png,cat,pets\ndog/dog_1.png,dog,Käfig\n"


def test_sources_come_from_an_index(tmp_path):
    write(tmp_path, range(2))
    assert set(WeakFolder(tmp_path, "all").sources) == {"unknown"}
    (tmp_path / "index.csv").write_text(INDEX)
    everything = WeakFolder(tmp_path, "all")
    assert everything.description.endswith("; index.csv has no source of 4 of them")
    sources = dict(zip(everything.names, everything.sources, strict=True))
    assert sources.pop("cat/cat_0.png") == "pets" and sources.pop("dog/dog_1.png") == "Käfig"
    assert set(sources.values()) == {"unknown"}


def test_an_index_of_something_else_is_refused(tmp_path):
    write(tmp_path, range(2))
    (tmp_path / "index.csv").write_text("file,origin\ncat/cat_0.png,pets\n")
    refused(lambda: WeakFolder(tmp_path, "all"), tmp_path / "index.csv", "columns named file and source")


def test_label_codes(root):
    everything = WeakFolder(root, "all")
    assert label_codes(everything).tolist() == [0] * 300 + [1] * 300 + [2] * 300


def test_a_missing_or_empty_folder_is_named(tmp_path):
    write(tmp_path, range(3), ["cat", "dog"])
    refused(lambda: WeakFolder(tmp_path, "all"), tmp_path / "background", "one folder a label", "cat, dog, background")
    write(tmp_path, range(3), ["background"], ".txt")
    refused(lambda: WeakFolder(tmp_path, "all"), tmp_path / "background", "no photograph", ".jpg", ".txt (3)")
    write(tmp_path, range(3), ["background"])
    refused(lambda: WeakFolder(tmp_path, "heldout", heldout=0.0), tmp_path, "split 'heldout'")


def test_an_unknown_split_is_refused(root):
    refused(lambda: WeakFolder(root, "val"), "val")


def test_real_folders(real_data):
    everything = WeakFolder(real_data / "weak", "all")
    assert [everything.labels.count(label) for label in LABELS] == [3254, 3102, 5838]
    assert set(everything.sources) == {"voc", "voc07", "pets", "breeds", "animalpose", "imagenet", "houses", "clothes"}
    train, heldout = WeakFolder(real_data / "weak"), WeakFolder(real_data / "weak", "heldout")
    assert len(train) + len(heldout) == 12_194 and 1700 < len(heldout) < 1960
    for i in (0, len(train) // 2, len(train) - 1):
        assert train.image(i).shape == (300, 300, 3) and train.image(i).dtype == np.uint8
