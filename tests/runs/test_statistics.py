"""Statistics that only pictures can tell: computed right, kept once, and refused when they are of something else."""

import dataclasses

import numpy as np
import pytest
import torch
from conftest import changed, refused

from lsegrepro import cli, paper
from lsegrepro.data.drawn import DrawnWeak
from lsegrepro.data.images import prepare
from lsegrepro.files import read_json, write_json
from lsegrepro.network import model
from lsegrepro.runs import statistics
from lsegrepro.runs.statistics import STATISTICS, read_statistics, statistics_path


@pytest.fixture
def two_sources(monkeypatch):
    """Weak sets of which the cats' pictures, and some of the others, come from one source."""

    def sources(self):
        return ["one" if label == "cat" or i % 2 else "two" for i, label in enumerate(self.labels)]

    monkeypatch.setattr(DrawnWeak, "sources", property(sources), raising=False)


def test_each_is_computed_once_and_then_read_without_pictures(own_run, capsys):
    words = ["statistics", "--profile", own_run.profile.spec, "--run", str(own_run.folder), "--device", "cpu"]
    refused(lambda: read_statistics(own_run, "bags"), "statistics/bags.json", "lsegrepro statistics --profile")
    assert cli.main(words) == 0
    paths = [statistics_path(own_run, name) for name in STATISTICS]
    assert capsys.readouterr().out.split() == [str(path) for path in paths]
    before = [path.read_bytes() for path in paths]
    data = dataclasses.replace(own_run.profile.data, kind="photographs", weak="nowhere", segmentation="nowhere")
    reader = dataclasses.replace(changed(own_run, data=data), depth="evidence")
    for name, compute in STATISTICS.items():
        assert read_statistics(reader, name) == compute(own_run)
        assert read_json(statistics_path(own_run, name))["command"].startswith("lsegrepro statistics --profile")
    assert cli.main(words) == 0 and [path.read_bytes() for path in paths] == before


def test_statistics_of_something_else_are_refused(own_run):
    statistics.write_statistics(own_run)
    for name, key in (("weak-labels", "train"), ("bags", "val"), ("sources", "LSE1-cat-round2-seed0")):
        path = statistics_path(own_run, name)
        content = read_json(path)
        write_json(path, content | {"inputs": content["inputs"] | {key: "another"}})
        refused(lambda name=name: read_statistics(own_run, name), path, f"made with {key} = 'another'")
        path.write_text("{")
        refused(lambda name=name: read_statistics(own_run, name), path)


# What they say


def test_labels_are_counted(own_run, two_sources):
    for split, counted in statistics.weak_labels(own_run).items():
        weak = own_run.weak(split)
        pairs = list(zip(weak.labels, weak.sources, strict=True))
        assert counted["images"] == len(weak)
        assert counted["labels"] == {label: list(weak.labels).count(label) for label in paper.TRAINING_IMAGES}
        assert counted["sources"] == {source: {label: pairs.count((label, source)) for label in paper.TRAINING_IMAGES}
                                      for source in ("one", "two")}
        assert counted["shortcut"]["cat"] > 0.6


def test_one_source_is_no_shortcut(own_run):
    train = statistics.weak_labels(own_run)["train"]
    assert train["sources"] == train["shortcut"] == {}
    assert statistics.accuracy_within_sources(own_run) == {"images": 0, "networks": {}}
    for sources, accuracy in ((["a", "a", "b", "b"] * 2, 0.5), (["a", "b"] * 4, 1.0)):
        assert statistics.source_shortcut(["cat", "dog"] * 4, sources, "cat") == accuracy


@pytest.mark.parametrize("size", [(225, 300), (300, 200), (375, 500)])
def test_a_mask_is_prepared_like_its_image(size):
    mask = np.zeros(size, np.uint8)
    mask[size[0] // 3 : size[0] // 2, size[1] // 3 : size[1] // 2] = 8
    image = np.repeat(mask[..., None] * np.uint8(31), 3, axis=2)
    prepared = statistics.prepare_mask(mask)
    assert prepared.shape == prepare(image).shape[:2] and set(np.unique(prepared)) <= {0, 8}
    assert np.mean((prepared == 8) != (prepare(image)[..., 0] > 124)) < 0.01


def test_bags_of_an_image_that_is_all_cat_are_full(own_run, monkeypatch):
    data = own_run.segmentation("val")
    monkeypatch.setattr(type(data), "mask", lambda self, i: np.full((300, 300), 8, np.uint8))
    monkeypatch.setattr(statistics.evaluation, "present", lambda regions, cls: np.full(len(regions), cls == "cat"))
    assert statistics.patch_coverage(own_run) == {
        name: {"cat": {"filled": patches, "none": 0, "several": 1}}
        for name, patches in (("LSE1", 9), ("LSE2", 4))
    }


def test_masks_of_other_images_are_refused(own_run, monkeypatch):
    other = dataclasses.replace(own_run.regions("val"), ids=("a", "b", "c", "d", "e", "f"))
    monkeypatch.setattr(type(own_run), "regions", lambda self, split: other)
    refused(lambda: statistics.patch_coverage(own_run), "the masks of val are not those the evidence was made of")


def test_sources_are_measured_apart_and_without_mined_images(own_run, two_sources):
    values, weak = statistics.accuracy_within_sources(own_run), own_run.weak("heldout")
    mined = {str(name) for m in ("max1", "LSE1") for name in np.load(own_run.negatives_path(m, "cat"))["names"]}
    assert values["images"] == len(set(weak.names) - mined) < len(weak.names)
    assert set(values["networks"]) == {own_run.name(*network) for network in own_run.last_networks()}
    for network in values["networks"].values():
        assert 0 <= network["whole"] <= 1 and network["shortcut"] >= 0.5
    present = np.array([True, False] * 20 + [True] * 20)  # all of b are of one kind
    assert statistics.within_sources(np.ones(60, bool), present, ["a"] * 40 + ["b"] * 20) == {"a": (40, 1.0)}


def test_the_literal_initialisation_saturates():
    arch, generator = paper.ARCHITECTURES["LSE1"], torch.Generator().manual_seed(0)
    x = 2 * torch.rand(8, 3, 95, 95, generator=generator) - 1
    torch7, literal = (
        statistics.saturation(model.PatchNet(arch, initialisation=name, generator=generator), x)
        for name in ("torch7", "literal"))
    assert list(torch7) == [f"layer {i}" for i in range(1, 6)]
    assert max(torch7.values()) < 0.05 < 0.5 < min(literal.values())


def test_the_share_of_the_other_class_is_that_of_the_draw(own_run, monkeypatch):
    labels = {"cat": 7, "dog": 3, "background": 9}
    monkeypatch.setattr(statistics, "read_statistics", lambda run, name: {"train": {"labels": labels}})
    for negatives, share in (("others", 3 / 12), ("background", 0), ("paper", paper.other_class_share("cat"))):
        run = changed(own_run, training=own_run.profile.training | {"negatives": negatives})
        assert statistics.share_of_other_class(run, "cat") == pytest.approx(share)
