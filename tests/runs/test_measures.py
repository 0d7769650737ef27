import numpy as np
import pytest
import torch

from lsegrepro import paper
from lsegrepro.data.images import prepare
from lsegrepro.network import patches
from lsegrepro.network.model import PatchNet
from lsegrepro.runs import measures


@pytest.mark.parametrize("size", [(225, 300), (300, 200), (375, 500), (300, 300)])
def test_a_mask_is_prepared_like_its_image(size):
    mask = np.zeros(size, np.uint8)
    mask[size[0] // 3 : size[0] // 2, size[1] // 3 : size[1] // 2] = 8
    image = np.repeat(mask[..., None] * np.uint8(31), 3, axis=2)
    got = measures.prepare_mask(mask)
    assert got.shape == prepare(image).shape[:2] and set(np.unique(got)) <= {0, 8}
    assert np.mean((got == 8) != (prepare(image)[..., 0] > 124)) < 0.01


def test_shares_of_every_patch():
    mask = np.zeros((300, 300), np.uint8)
    mask[:, :150] = 8
    cells = patches.grid(300, 4)
    corners = np.array([cell[:2] for cell in cells])
    assert measures.class_shares(mask, 8, corners, 150).tolist() == [1, 0, 1, 0]
    assert measures.class_shares(np.full((300, 300), 255, np.uint8), 8, corners, 150).tolist() == [0] * 4


def test_a_source_that_tells_nothing_gives_chance():
    labels, sources = ["cat", "dog"] * 4, ["a", "a", "b", "b"] * 2
    assert measures.source_shortcut(labels, sources, "cat") == 0.5
    assert measures.source_shortcut(labels, ["a", "b"] * 4, "cat") == 1.0


def test_sources_with_one_kind_are_left_out():
    present = np.array([True, False] * 20 + [True] * 20)
    found = measures.within_sources(np.ones(60, bool), present, ["a"] * 40 + ["b"] * 20)
    assert found == {"a": (40, 1.0)}


def test_the_literal_initialisation_saturates():
    x = torch.rand(2, 3, 95, 95, generator=torch.Generator().manual_seed(0)) * 2 - 1
    shares = {}
    for name in ("torch7", "literal"):
        generator = torch.Generator().manual_seed(0)
        net = PatchNet(paper.ARCHITECTURES["LSE1"], initialisation=name, generator=generator)
        shares[name] = measures.saturation(net, x)
    assert list(shares["torch7"]) == [f"layer {i}" for i in range(1, 6)]
    assert max(shares["torch7"].values()) < 0.05 < 0.5 < min(shares["literal"].values())


def test_concentration_of_nothing():
    assert measures.lorenz_curve(np.zeros(3)).tolist() == [0, 0, 0, 0]


@pytest.mark.parametrize("name", ["LSE1", "LSE2", "LSE2-40-80"])
def test_operations_are_those_that_torch_counts(name):
    from torch.utils.flop_counter import FlopCounterMode

    from lsegrepro.network.model import PatchNet

    arch = paper.ARCHITECTURES[name]
    counter = FlopCounterMode(display=False)
    with counter, torch.no_grad():
        PatchNet(arch)(torch.zeros(arch.patches, 3, arch.patch, arch.patch))
    assert 3 * counter.get_total_flops() == measures.training_operations(arch)
