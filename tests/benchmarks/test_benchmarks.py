"""The benchmarks measure what they say: the other ways give the patches' scores, and a record has every number."""

import json
import sys

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from conftest import ROOT
from literal import patch_scores

from lsegrepro import paper
from lsegrepro.network.dense import score_map

sys.path.insert(0, str(ROOT))  # outside the package
from benchmarks import measure, references  # noqa: E402

CPU = torch.device("cpu")
SIZES = [(3, 19), (18, 2), (1, 51)]  # beyond a stride of 16 either way; reflected and repeated borders


@pytest.fixture(scope="module", params=["LSE1", "LSE2"])
def net(request):
    return measure.seeded_network(request.param, CPU)


@pytest.mark.parametrize("size", SIZES)
def test_every_way_gives_the_scores_of_the_patches(net, size):
    image = measure.photograph(size)
    places = np.argwhere(np.ones(size))
    expected = patch_scores(net, image, *places.T).reshape(2, *size)
    assert expected.std() > 0.05  # not a comparison of constants
    for scores in (
        references.patch_by_patch(net, image, places).reshape(expected.shape),
        references.dilation(net, image),
        references.shift_and_stitch(net, image),
        score_map(net, image),
    ):
        assert (scores - expected).abs().max() < 2e-5


def test_a_part_of_the_passes_leaves_the_other_pixels_out(net):
    image = measure.photograph((20, 20))
    assert references.passes(net, image) == 256
    part = references.shift_and_stitch(net, image, 4)
    given = ~part[0].isnan()
    assert 0 < given.sum() < given.numel() / 16
    assert (part - score_map(net, image))[:, given].abs().max() < 2e-5


@pytest.mark.parametrize("model", ["LSE1", "LSE2"])
def test_operations_are_those_of_table_1(model):
    """A layer's multiply-adds for one position are its weights."""
    net = measure.seeded_network(model, CPU)
    counted = {name: 2 * getattr(net, name).weight.numel() for name in measure.LAYERS}
    assert measure.layer_flops(paper.ARCHITECTURES[model]) == counted


def test_the_command_writes_a_record(tmp_path):
    out = tmp_path / "here.json"
    words = ["--out", str(out), "--model", "LSE1", "--size", "9", "21", "--device", "cpu", "--quick"]
    done = CliRunner().invoke(measure.main, words)
    assert done.exit_code == 0, done.output
    record = json.loads(out.read_text())
    assert record["format"] == measure.FORMAT and record["machine"]["gpu"] is None
    (result,) = record["models"].values()
    assert {"patches", "shifts", "dilation", "ours"} <= set(result["ways"])
    floor = result["floor"]
    assert floor["seconds"] == pytest.approx(floor["flops"] / record["matrix_product"])
    for name, way in result["ways"].items():
        assert way["times_floor"] == pytest.approx(way["seconds"] / floor["seconds"]) and way["flops"] > 0
        assert way["largest_difference"] < (0.1 if "bfloat16" in name else 2e-5)
    rate = result["training"]["float32"]
    assert rate["ratio"] == pytest.approx(rate["images_per_second"] / rate["in_memory_images_per_second"])


def test_published_records_have_the_format_that_the_chapter_reads():
    paths = list((ROOT / "published" / "bench").glob("*.json"))
    assert paths
    for path in paths:
        record = json.loads(path.read_text())
        assert record["format"] == measure.FORMAT and set(record["models"]) == {"LSE1", "LSE2"}
