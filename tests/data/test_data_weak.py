"""Weak labels from folders: splits that do not move."""

import numpy as np
import pytest
from conftest import one_line
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from lsegrepro import LsegreproError
from lsegrepro.data import weak
from lsegrepro.data.weak import LABELS, WeakFolder


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


def test_a_smaller_heldout_part_lies_inside_a_larger_one(root):
    parts = [set(WeakFolder(root, "heldout", heldout=h).names) for h in (0.05, 0.15, 0.5)]
    assert parts[0] < parts[1] < parts[2]


def test_fractions_are_nested_and_inside_their_split(root):
    parts = [set(WeakFolder(root, fraction=f).names) for f in (1 / 8, 1 / 4, 1 / 2, 1.0)]
    for small, large, share in zip(parts, parts[1:], (1 / 8, 1 / 4, 1 / 2), strict=False):
        assert small < large
        assert abs(len(small) / len(parts[-1]) - share) < 5 * np.sqrt(share / len(parts[-1]))
    assert not parts[0] & set(WeakFolder(root, "heldout").names)


@given(st.lists(st.text(min_size=1), min_size=1, max_size=20))
def test_places_depend_on_name_and_salt_alone(names):
    for name in names:
        assert 0 <= weak._place(name, "split") < 1
        assert weak._place(name, "split") == weak._place(name, "split") != weak._place(name, "fraction")


def test_places_are_uniform():
    places = [weak._place(f"{n}.jpg", "split") for n in range(4000)]
    counts = np.histogram(places, 10, (0, 1))[0]
    assert ((counts - 400) ** 2 / 400).sum() < 34  # 9 degrees of freedom: p < 1e-4


def test_images_are_prepared(tmp_path, rng):
    write(tmp_path, [])
    pixels = rng.integers(0, 256, (310, 400, 3)).astype(np.uint8)
    for label in LABELS:
        Image.fromarray(pixels).save(tmp_path / label / "a.PNG")
    everything = WeakFolder(tmp_path, "all")
    assert everything.names == ["cat/a.PNG", "dog/a.PNG", "background/a.PNG"]
    assert everything.labels == ["cat", "dog", "background"]
    expected = np.asarray(Image.fromarray(pixels).resize((387, 300), Image.Resampling.BILINEAR))[:, 43:343]
    assert np.array_equal(everything.image(0), expected)


def test_other_files_are_left_alone(tmp_path):
    write(tmp_path, range(5))
    (tmp_path / "cat" / "Thumbs.db").write_bytes(b"")
    (tmp_path / "cat" / "notes.txt").write_bytes(b"")
    assert len(WeakFolder(tmp_path, "all")) == 15


def test_sources_come_from_the_index(tmp_path):
    write(tmp_path, range(2))
    assert set(WeakFolder(tmp_path, "all").sources) == {"unknown"}
    (tmp_path / "index.csv").write_text("file,label,source\ncat/cat_0.png,cat,pets\ndog/dog_1.png,dog,voc\n")
    everything = WeakFolder(tmp_path, "all")
    found = dict(zip(everything.names, everything.sources, strict=True))
    assert found.pop("cat/cat_0.png") == "pets" and found.pop("dog/dog_1.png") == "voc"
    assert set(found.values()) == {"unknown"}


@pytest.mark.parametrize("missing", LABELS)
def test_a_missing_folder_is_named(tmp_path, missing):
    write(tmp_path, range(3), [label for label in LABELS if label != missing])
    with pytest.raises(LsegreproError) as error:
        WeakFolder(tmp_path, "all")
    one_line(error, tmp_path / missing, "one folder a label", "cat, dog, background")


def test_an_empty_folder_is_named(tmp_path):
    write(tmp_path, range(3), ["cat", "dog"])
    write(tmp_path, range(3), ["background"], ".txt")
    with pytest.raises(LsegreproError) as error:
        WeakFolder(tmp_path, "all")
    one_line(error, tmp_path / "background", "no photograph", ".jpg")
    with pytest.raises(LsegreproError) as error:
        WeakFolder(tmp_path, "heldout", heldout=0.0)
    one_line(error, "heldout")


@pytest.mark.parametrize("arguments", [
    {"split": "val"}, {"heldout": 1.0}, {"heldout": -0.1}, {"heldout": float("nan")}, {"fraction": 0.0},
    {"fraction": 1.5}, {"fraction": float("nan")},
])
def test_arguments_are_checked(root, arguments):
    with pytest.raises(LsegreproError) as error:
        WeakFolder(root, **arguments)
    one_line(error, *(str(value) for value in arguments.values()))


def test_a_damaged_photograph_is_named_when_it_is_read(root):
    train = WeakFolder(root)
    with pytest.raises(LsegreproError) as error:
        train.image(0)
    one_line(error, root / train.names[0])


def test_real_folders(real_data):
    everything = WeakFolder(real_data / "weak", "all")
    assert [everything.labels.count(label) for label in LABELS] == [3254, 3102, 5838]
    assert set(everything.sources) == {"voc", "voc07", "pets", "breeds", "animalpose", "imagenet", "houses", "clothes"}
    train, heldout = WeakFolder(real_data / "weak"), WeakFolder(real_data / "weak", "heldout")
    assert len(train) + len(heldout) == 12_194 and 1700 < len(heldout) < 1960
    for i in (0, len(train) // 2, len(train) - 1):
        assert train.image(i).shape == (300, 300, 3) and train.image(i).dtype == np.uint8
