"""Facts that only pictures can tell: counted right, kept once, and refused when they are of something else."""

import dataclasses
import json

import numpy as np
import pytest
import torch
from conftest import one_line
from torch.nn import functional

from lsegrepro import paper
from lsegrepro.data.drawn import DrawnWeak
from lsegrepro.files import LsegreproError, digest, read_json, write_json
from lsegrepro.runs import facts, measures
from lsegrepro.runs.folder import RunFolder

FACTS = {"weak-labels": facts.weak_labels, "crop": facts.crop, "bags": facts.bags, "sources": facts.sources,
         "first-steps": facts.first_steps}


def path_of(run: RunFolder, name: str):
    return run.folder / "evidence" / f"facts-{name}.json"


def without_pictures(run: RunFolder) -> RunFolder:
    """The same run where there is no picture: of photographs that nobody has."""
    data = dataclasses.replace(run.profile.data, kind="photographs", weak="nowhere", segmentation="nowhere")
    return RunFolder(dataclasses.replace(run.profile, data=data), run.folder, device="cpu", progress=False,
               depth="evidence")


@pytest.fixture
def two_sources(monkeypatch):
    """Weak sets of which the cats' pictures, and some of the others, come from one source."""

    def sources(self):
        return ["one" if label == "cat" or i % 2 else "two" for i, label in enumerate(self.labels)]

    monkeypatch.setattr(DrawnWeak, "sources", property(sources), raising=False)


@pytest.mark.parametrize("name", FACTS)
def test_a_fact_is_counted_once_and_then_read_without_pictures(own_run, name, monkeypatch):
    found = FACTS[name](own_run)
    path = path_of(own_run, name)
    before = path.read_bytes()
    assert json.loads(before)["content"] == found
    assert FACTS[name](without_pictures(own_run)) == found and path.read_bytes() == before


@pytest.mark.parametrize("name", FACTS)
def test_a_fact_that_is_missing_is_not_counted_where_nothing_is_computed(own_run, name):
    with pytest.raises(LsegreproError) as error:
        FACTS[name](without_pictures(own_run))
    one_line(error, path_of(own_run, name), "is not there")
    assert not path_of(own_run, name).exists()


@pytest.mark.parametrize("name", FACTS)
def test_an_altered_fact_is_refused(own_run, name):
    FACTS[name](own_run)
    path = path_of(own_run, name)
    whole = path.read_bytes()
    digits = [i for i, byte in enumerate(whole) if chr(byte).isdigit()]
    for i in digits[:: max(1, len(digits) // 20)]:
        path.write_bytes(whole[:i] + (b"1" if whole[i : i + 1] != b"1" else b"2") + whole[i + 1 :])
        with pytest.raises(LsegreproError) as error:
            FACTS[name](own_run)
        one_line(error, path, "refused")
    for cut in (0, 5, len(whole) // 2):
        path.write_bytes(whole[:cut])
        with pytest.raises(LsegreproError) as error:
            FACTS[name](own_run)
        one_line(error, path)


@pytest.mark.parametrize("name, key", [("weak-labels", "train"), ("crop", "val"), ("bags", "val"),
                                       ("sources", "LSE1-cat-round2-seed0"), ("first-steps", "arguments")])
def test_a_fact_of_something_else_is_refused(own_run, name, key):
    FACTS[name](own_run)
    path = path_of(own_run, name)
    record = read_json(path)
    del record["digest"]
    record["made_of"][key] = "another"
    write_json(path, record | {"digest": digest(record)})  # sealed again
    with pytest.raises(LsegreproError) as error:
        FACTS[name](own_run)
    one_line(error, path, f"counted on {key} 'another'")
    with pytest.raises(LsegreproError) as error:
        facts.read_fact(path, "another name")
    one_line(error, path, "no version 1 of the fact 'another name'")


# What they say


def test_labels_are_counted(own_run, two_sources):
    found = facts.weak_labels(own_run)
    for split in ("train", "heldout"):
        weak, mine = own_run.weak(split), found[split]
        assert mine["images"] == len(weak) and mine["digest"] == weak.digest
        assert mine["labels"] == {label: weak.labels.count(label) for label in paper.TRAINING_IMAGES}
        assert sum(n for counts in mine["sources"].values() for n in counts.values()) == len(weak)
        for source, counts in mine["sources"].items():
            pairs = list(zip(weak.labels, weak.sources, strict=True))
            assert counts == {label: pairs.count((label, source)) for label in paper.TRAINING_IMAGES}
    assert found["train"]["shortcut"]["cat"] > 0.6


def test_one_source_is_no_shortcut(own_run):
    found = facts.weak_labels(own_run)["train"]
    assert found["sources"] == found["shortcut"] == {}
    assert facts.sources(own_run) == {"images": 0, "networks": {}}


def test_the_crop_is_measured_on_masks(own_run, monkeypatch):
    """One cat in the middle, one that touches a long side: known by hand."""
    masks = [np.zeros((300, 600), np.uint8) for _ in range(len(own_run.regions("val")))]
    masks[0][100:200, 250:350] = 8  # all of it stays
    masks[1][:, 100:200] = 8  # the crop begins at column 150
    data = own_run.segmentation("val")
    monkeypatch.setattr(type(data), "mask", lambda self, i: masks[i])
    holds = np.isin(np.arange(len(masks)), (0, 1))
    monkeypatch.setattr(facts.evaluation, "present", lambda regions, cls: holds if cls == "cat" else holds & False)
    assert facts.crop(own_run) == {"cat": {"images": 2, "lost": 0.25, "half": 0, "all": 0},
                                   "dog": {"images": 0, "lost": 0.0, "half": 0, "all": 0}}


def test_bags_of_an_image_that_is_all_cat_are_full(own_run, monkeypatch):
    data = own_run.segmentation("val")
    monkeypatch.setattr(type(data), "mask", lambda self, i: np.full((300, 300), 8, np.uint8))
    monkeypatch.setattr(facts.evaluation, "present", lambda regions, cls: np.full(len(regions), cls == "cat"))
    assert facts.bags(own_run) == {
        name: {"cat": {"touched": patches, "filled": patches, "none": 0, "several": 1, "majority": 1}}
        for name, patches in (("LSE1", 9), ("LSE2", 4))
    }


def test_masks_of_other_images_are_refused(own_run, monkeypatch):
    regions = own_run.regions("val")
    other = dataclasses.replace(regions, ids=tuple(reversed(regions.ids)))
    monkeypatch.setattr(RunFolder, "regions", lambda self, split: other)
    with pytest.raises(LsegreproError) as error:
        facts.crop(own_run)
    one_line(error, "the masks of val are not those the evidence was made of")


def test_sources_are_measured_apart(own_run, two_sources):
    found, held = facts.sources(own_run), own_run.weak("heldout")
    mined = {str(name) for model in ("max1", "LSE1") for name in np.load(own_run.negatives_path(model, "cat"))["names"]}
    kept = [i for i, name in enumerate(held.names) if name not in mined]  # no image that round 2 was trained on
    assert found["images"] == len(kept) < len(held.names) == 12
    assert set(found["networks"]) == {"LSE1-cat-round2-seed0", "max1-cat-round2-seed0"}
    labels, sources = ([values[i] for i in kept] for values in (held.labels, held.sources))
    for network in found["networks"].values():
        assert 0 <= network["whole"] <= 1 and network["inside"] == {}  # too few of each kind
        assert network["shortcut"] == measures.source_shortcut(labels, sources, "cat")


def test_the_first_steps_are_those_of_gradient_descent(own_run):
    found = facts.first_steps(own_run)
    assert found["images"] == 8 and found["patches"] == 9
    assert set(found["steps"]) == {"0.001", "0.006"}
    assert found["steps"]["0.001"]["cosine"] > found["steps"]["0.006"]["cosine"] - 1e-6
    assert all(len(initial["losses"]) == len(initial["gradients"]) == 8 for initial in found["initial"].values())


def test_a_walk_by_hand(tiny_net):
    """One step on the mean loss, from autograd and the definition of SGD."""
    bags = torch.rand(3, 9, 3, 95, 95, generator=torch.Generator().manual_seed(0)) * 2 - 1
    labels = torch.tensor([0, 1, 0])
    before = [p.detach().clone() for p in tiny_net.parameters()]
    moved = measures.walk(tiny_net, bags, labels, 0.01, 3, lambda f: f.logsumexp(1))
    assert all(torch.equal(p, q) for p, q in zip(tiny_net.parameters(), before, strict=True))
    scores = tiny_net(bags.flatten(0, 1)).view(3, 9, 2).logsumexp(1)
    gradient = torch.autograd.grad(functional.cross_entropy(scores, labels), list(tiny_net.parameters()))
    expected = torch.cat([-0.03 * g.flatten() for g in gradient])
    assert torch.allclose(moved, expected, atol=1e-6) and moved.norm() > 0
    losses, _ = measures.beginning(tiny_net, bags, labels)
    assert np.mean(losses) == pytest.approx(functional.cross_entropy(scores, labels).item(), abs=1e-6)
