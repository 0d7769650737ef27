"""Statistics that only pictures can tell: computed right, kept once, and refused when they are of something else."""

import dataclasses

import numpy as np
import pytest
import torch
from conftest import one_line
from torch.nn import functional

from lsegrepro import cli, paper
from lsegrepro.data.drawn import DrawnWeak
from lsegrepro.files import LsegreproError, read_json, write_json
from lsegrepro.network import model, patches
from lsegrepro.runs import measures, statistics
from lsegrepro.runs.folder import RunFolder
from lsegrepro.runs.statistics import STATISTICS, read_statistics, statistics_path


@pytest.fixture
def two_sources(monkeypatch):
    """Weak sets of which the cats' pictures, and some of the others, come from one source."""

    def sources(self):
        return ["one" if label == "cat" or i % 2 else "two" for i, label in enumerate(self.labels)]

    monkeypatch.setattr(DrawnWeak, "sources", property(sources), raising=False)


def test_each_is_computed_once_and_then_read_without_pictures(own_run, capsys):
    words = ["statistics", "--profile", own_run.profile.spec, "--run", str(own_run.folder), "--device", "cpu"]
    assert cli.main(words) == 0
    paths = [statistics_path(own_run, name) for name in STATISTICS]
    assert capsys.readouterr().out.split() == [str(path) for path in paths]
    before = [path.read_bytes() for path in paths]
    data = dataclasses.replace(own_run.profile.data, kind="photographs", weak="nowhere", segmentation="nowhere")
    reader = dataclasses.replace(own_run, profile=dataclasses.replace(own_run.profile, data=data), depth="evidence")
    for name, compute in STATISTICS.items():
        assert read_statistics(reader, name) == compute(own_run)
        assert read_json(statistics_path(own_run, name))["command"].startswith("lsegrepro statistics --profile")
    assert cli.main(words) == 0 and [path.read_bytes() for path in paths] == before


def test_missing_statistics_name_the_command(own_run):
    with pytest.raises(LsegreproError) as error:
        read_statistics(own_run, "crop")
    one_line(error, statistics_path(own_run, "crop"), "lsegrepro statistics --profile")


@pytest.mark.parametrize("name, key", [("weak-labels", "train"), ("crop", "val"), ("sources", "LSE1-cat-round2-seed0")])
def test_statistics_of_something_else_are_refused(own_run, name, key):
    statistics.write_statistics(own_run)
    path = statistics_path(own_run, name)
    content = read_json(path)
    write_json(path, content | {"inputs": content["inputs"] | {key: "another"}})
    with pytest.raises(LsegreproError) as error:
        read_statistics(own_run, name)
    one_line(error, path, f"computed on {key} another")
    for broken in ("{", '{"values": 1}', "[]"):
        path.write_text(broken)
        with pytest.raises(LsegreproError) as error:
            read_statistics(own_run, name)
        one_line(error, path)


# What they say


def test_labels_are_counted(own_run, two_sources):
    splits = statistics.weak_labels(own_run)
    for split in ("train", "heldout"):
        weak, mine = own_run.weak(split), splits[split]
        assert mine["images"] == len(weak) and mine["digest"] == weak.digest
        assert mine["labels"] == {label: list(weak.labels).count(label) for label in paper.TRAINING_IMAGES}
        pairs = list(zip(weak.labels, weak.sources, strict=True))
        for source, counts in mine["sources"].items():
            assert counts == {label: pairs.count((label, source)) for label in paper.TRAINING_IMAGES}
    assert splits["train"]["shortcut"]["cat"] > 0.6


def test_one_source_is_no_shortcut(own_run):
    train = statistics.weak_labels(own_run)["train"]
    assert train["sources"] == train["shortcut"] == {}
    assert statistics.accuracy_within_sources(own_run) == {"images": 0, "networks": {}}


def test_the_crop_is_measured_on_masks(own_run, monkeypatch):
    """One cat in the middle, one that touches a long side: known by hand."""
    masks = [np.zeros((300, 600), np.uint8) for _ in range(len(own_run.regions("val")))]
    masks[0][100:200, 250:350] = 8  # all of it stays
    masks[1][:, 100:200] = 8  # the crop begins at column 150
    monkeypatch.setattr(type(own_run.segmentation("val")), "mask", lambda self, i: masks[i])
    present = np.isin(np.arange(len(masks)), (0, 1))
    monkeypatch.setattr(statistics.evaluation, "present", lambda regions, cls: present & (cls == "cat"))
    assert statistics.crop_loss(own_run) == {"cat": {"images": 2, "lost": 0.25, "half": 0, "all": 0},
                                             "dog": {"images": 0, "lost": 0.0, "half": 0, "all": 0}}


def test_bags_of_an_image_that_is_all_cat_are_full(own_run, monkeypatch):
    data = own_run.segmentation("val")
    monkeypatch.setattr(type(data), "mask", lambda self, i: np.full((300, 300), 8, np.uint8))
    monkeypatch.setattr(statistics.evaluation, "present", lambda regions, cls: np.full(len(regions), cls == "cat"))
    assert statistics.patch_coverage(own_run) == {
        name: {"cat": {"touched": patches, "filled": patches, "none": 0, "several": 1, "majority": 1}}
        for name, patches in (("LSE1", 9), ("LSE2", 4))
    }


def test_masks_of_other_images_are_refused(own_run, monkeypatch):
    regions = own_run.regions("val")
    other = dataclasses.replace(regions, ids=tuple(reversed(regions.ids)))
    monkeypatch.setattr(RunFolder, "regions", lambda self, split: other)
    with pytest.raises(LsegreproError) as error:
        statistics.crop_loss(own_run)
    one_line(error, "the masks of val are not those the evidence was made of")


def test_sources_are_measured_apart_and_without_mined_images(own_run, two_sources):
    values, weak = statistics.accuracy_within_sources(own_run), own_run.weak("heldout")
    mined = {str(name) for m in ("max1", "LSE1") for name in np.load(own_run.negatives_path(m, "cat"))["names"]}
    assert values["images"] == len(set(weak.names) - mined)
    assert set(values["networks"]) == {own_run.name(*network) for network in own_run.last_networks()}
    for network in values["networks"].values():
        assert 0 <= network["whole"] <= 1 and network["shortcut"] >= 0.5


def test_one_step_of_many_images_is_about_as_far_as_many_single_steps():
    """The cosine is near 1 for a small rate; the first step is that of autograd by hand."""
    net = model.PatchNet(paper.ARCHITECTURES["LSE1"], generator=torch.Generator().manual_seed(0))
    images = torch.rand(2, 3, 300, 300, generator=torch.Generator().manual_seed(1)) * 2 - 1
    corners = patches.random_corners(np.random.default_rng(0), 2, 300, 9, 95)
    bags, labels = patches.cut(images, corners, 95).unflatten(0, (2, 9)), torch.tensor([0, 1])
    together, single = (measures.distance_moved(net, bags, labels, 1e-4, n, model.lse) for n in (2, 1))
    assert functional.cosine_similarity(together, single, dim=0) > 0.999
    losses, gradients = measures.initial_losses(net, bags, labels)
    scores = net(bags.flatten(0, 1)).view(2, 9, 2)
    pooled = torch.logsumexp(scores, 1) - np.log(9)
    assert losses == pytest.approx(functional.cross_entropy(pooled, labels, reduction="none").tolist(), rel=1e-4)
    loss = functional.cross_entropy(pooled, labels, reduction="sum")
    step = torch.cat([g.flatten() for g in torch.autograd.grad(loss, list(net.parameters()))])
    assert torch.allclose(together, -1e-4 * step, atol=1e-7)
