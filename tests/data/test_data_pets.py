"""Oxford-IIIT Pet: labels by its list, splits by name, and no mask is opened."""

import sys

import pytest
from conftest import refused
from PIL import Image

from lsegrepro.data.pets import OxfordPets

HEAD = "#Image CLASS-ID SPECIES BREED ID\n#ID: 1:37 Class ids\n#SPECIES: 1:Cat 2:Dog\n"
CATS = [f"Abyssinian_{k}" for k in range(1, 21)]
DOGS = [f"beagle_{k}" for k in range(1, 31)]


@pytest.fixture
def root(tmp_path):
    """Pets as they are unpacked: 20 cats and 30 dogs, of which some have the defects of the real ones."""
    (tmp_path / "annotations").mkdir()
    rows = [*(f"{name} 1 1 1" for name in CATS), *(f"{name} 5 2 1" for name in DOGS)]
    (tmp_path / "annotations" / "list.txt").write_text(HEAD + "".join(f"{row}\n" for row in rows))
    (tmp_path / "images").mkdir()
    for name in (*CATS, *DOGS, "unlisted_1"):
        Image.new("RGB", (40, 30)).save(tmp_path / "images" / f"{name}.jpg")
    (tmp_path / "images" / "beagle_3.jpg").unlink()
    (tmp_path / "images" / "Abyssinian_100.mat").write_bytes(b"not a photograph")
    return tmp_path


def test_labels_are_those_of_the_list(root):
    pets = OxfordPets(root, "all")
    assert dict(zip(pets.names, pets.labels, strict=True)) == (
        {f"images/{name}.jpg": "cat" for name in CATS}
        | {f"images/{name}.jpg": "dog" for name in DOGS if name != "beagle_3"})
    assert len(pets) == 49
    assert pets.description == ("49 photographs of Oxford-IIIT Pet (20 cat, 29 dog, 0 background), split 'all'; "
                                "1 of the 50 listed are absent")


def test_masks_are_never_opened(root):
    trimaps = root / "annotations" / "trimaps"
    trimaps.mkdir()
    for name in CATS:
        (trimaps / f"{name}.png").write_bytes(b"a mask")
    paths, listening = [], True
    sys.addaudithook(lambda event, args: paths.append(str(args[0])) if listening and event == "open" else None)
    assert OxfordPets(root, "all").image(0).shape == (300, 300, 3)
    listening = False  # a hook stays for good
    assert any("Abyssinian_1.jpg" in path for path in paths)
    assert not any("trimaps" in path for path in paths)


@pytest.mark.parametrize("line", ["Abyssinian_1 1 3 1", "Abyssinian_1 1 1"])
def test_a_list_of_another_kind_is_refused(root, line):
    listing = root / "annotations" / "list.txt"
    listing.write_text(listing.read_text() + line + "\n")
    refused(lambda: OxfordPets(root, "all"), listing, line)


def test_no_list_no_photographs(root):
    refused(lambda: OxfordPets(root / "images", "all"), "lsegrepro prepare pets")
    for path in (root / "images").iterdir():
        path.unlink()
    refused(lambda: OxfordPets(root, "train"),
            root, "no photograph of Oxford-IIIT Pet", "50 of the 50 listed are absent")
