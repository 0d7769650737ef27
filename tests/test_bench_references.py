"""The other ways of dense inference give the patches' scores, and cost what they are said to cost."""

import numpy as np
import pytest
import torch

from lsegrepro import paper
from lsegrepro.bench import inference, references, work
from lsegrepro.network.dense import score_map

CPU = torch.device("cpu")
SIZES = [(3, 19), (18, 2), (1, 51)]  # beyond a stride of 16 either way; reflected and repeated borders


def every_patch(net, image) -> torch.Tensor:
    """Scores (2, H, W), each patch cut by numpy out of the image padded by numpy."""
    size, (height, width) = net.architecture.patch, image.shape[:2]
    margin = (size - 1) // 2
    for axis, length in enumerate((height, width)):
        edges = [(0, 0)] * 3
        edges[axis] = (margin, margin)
        image = np.pad(image, edges, mode="reflect" if length > margin else "edge")
    windows = np.lib.stride_tricks.sliding_window_view(image, (size, size), axis=(0, 1))  # (H, W, 3, sz, sz)
    cuts = windows.reshape(-1, 3, size, size) / 127.5 - 1
    with torch.no_grad():
        return torch.cat([net(torch.from_numpy(part).float()) for part in np.array_split(cuts, 16)]).T.reshape(
            2, height, width)


@pytest.fixture(scope="module", params=paper.ARCHITECTURES)
def net(request):
    return inference.network(request.param, CPU)


@pytest.mark.parametrize("size", SIZES)
def test_every_way_gives_the_scores_of_the_patches(net, size):
    image = inference.picture(size)
    expected = every_patch(net, image)
    assert expected.std() > 0.05  # not a comparison of constants
    places = np.stack(np.divmod(np.arange(size[0] * size[1]), size[1]), axis=1)
    found = {
        "patches": references.patch_by_patch(net, image, places).reshape(2, *size),
        "dilation": references.dilation(net, image),
        "shifts": references.shift_and_stitch(net, image),
    }
    ours = score_map(net, image)
    for name, scores in found.items():
        assert scores.shape == expected.shape and scores.dtype == torch.float32, name
        assert (scores - expected).abs().max() < 1e-5, name
        assert (scores - ours).abs().max() < 1e-5, name


def test_some_passes_give_some_of_the_pixels(net):
    image = inference.picture((3, 19))
    whole, part = references.shift_and_stitch(net, image), references.shift_and_stitch(net, image, 4)
    known = ~part.isnan()
    assert 4 <= known[0].sum() <= 4 * 2 and torch.equal(part[known], whole[known])
    assert references.passes(net, image) == 3 * 16 and references.passes(net, inference.picture((16, 40))) == 256


def test_ways_that_are_timed_in_part_say_so(net):
    ways = inference.ways(net, inference.picture((40, 50)))
    assert {name: way.estimated_from for name, way in ways.items() if way.estimated_from} == {
        "patches": "64 patches", "shifts": "4 of 256 passes"}
    assert (ways["patches"].factor, ways["shifts"].factor) == (40 * 50 / 64, 64)
    assert (~ways["patches"].call()[0].isnan()).sum() == 64
    few = inference.ways(net, inference.picture((1, 3)))
    assert few["patches"].factor == 1 and few["shifts"].estimated_from is None


# Operations


def test_operations_by_hand():
    """Table 1 times 375 x 500 pixels, multiply-add = 2."""
    by_hand = {
        "LSE1": 3 * 8 * 8 * 40 + 40 * 3 * 3 * 80 + 80 * 5 * 5 * 160 + 160 * 320 + 320 * 2,
        "LSE2": 3 * 6 * 6 * 50 + 50 * 3 * 3 * 100 + 100 * 7 * 7 * 160 + 160 * 320 + 320 * 2,
        "LSE2-40-80": 3 * 6 * 6 * 40 + 40 * 3 * 3 * 80 + 80 * 7 * 7 * 160 + 160 * 320 + 320 * 2,
    }
    flops = {name: work.dense_flops(a, 375, 500) for name, a in paper.ARCHITECTURES.items()}
    assert flops == {name: 2 * each * 375 * 500 for name, each in by_hand.items()}
    assert [round(flops[name] / 1e9) for name in ("LSE1", "LSE2", "LSE2-40-80")] == [153, 332, 267]


def test_a_network_of_layers_has_the_operations_of_its_weights(net):
    """At one position each weight is used once."""
    weights = {name: 2 * p.numel() for name, p in net.named_parameters() if name.endswith("weight")}
    assert {f"{name}.weight": n for name, n in work.layer_flops(net.architecture).items()} == weights


@pytest.mark.parametrize("size", SIZES[:2])
def test_operations_of_the_references_are_those_torch_counts(net, size):
    image = inference.picture(size)
    places = np.zeros((size[0] * size[1], 2), int)
    counted = {
        "patches": inference.counted_flops(lambda: references.patch_by_patch(net, image, places)),
        "dilation": inference.counted_flops(lambda: references.dilation(net, image)),
        "shifts": inference.counted_flops(lambda: references.shift_and_stitch(net, image)),
    }
    assert counted == work.reference_flops(net.architecture, *size)
