"""The benchmark: what it measures is what its record says; never how long anything takes."""

import json
import re
import time

import numpy as np
import pytest
import torch
from conftest import one_line
from torch.profiler import record_function

from lsegrepro import cli
from lsegrepro.bench import clock, inference, memory, photographs, rates, report, suite
from lsegrepro.data.images import load_image, prepare
from lsegrepro.figures.speed import ways_chart
from lsegrepro.figures.style import show
from lsegrepro.files import LsegreproError, cores
from lsegrepro.network.devices import has_bfloat16
from lsegrepro.paper import ARCHITECTURES
from lsegrepro.training import loop as training
from lsegrepro.training.batches import WeakDataset

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def said(tmp_path_factory):
    """What the command prints: exit code, stdout and stderr of the smallest whole benchmark."""
    import contextlib
    import io

    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = cli.main(["bench", "--json", "--quick", "--model", "LSE1", "--size", "9x21", "--device", "cpu",
                         "--threads", "1"])
    return code, out.getvalue(), err.getvalue()


@pytest.fixture(scope="module")
def record(said):
    return json.loads(said[1])


def leaves(value, path=()):
    """Every value of a record that is no object, by its path."""
    if isinstance(value, dict):
        for key, each in value.items():
            yield from leaves(each, (*path, key))
    else:
        yield path, value


def pattern(key: str) -> re.Pattern:
    return re.compile(re.escape(key).replace(r"\*", "[^.]+"))


# The record


def test_json_is_all_that_is_printed(said):
    code, out, err = said
    assert (code, err) == (0, "") and out.startswith("{") and out.endswith("}\n")
    assert "NaN" not in out and "Infinity" not in out


def test_every_key_is_documented_and_there(record):
    paths = [".".join(path) for path, _ in leaves(record)]
    documented = {key: pattern(key) for key in report.KEYS}
    assert not [path for path in paths if not any(p.fullmatch(path) for p in documented.values())]
    assert not [key for key, p in documented.items() if not any(map(p.fullmatch, paths))]


def test_numbers_are_sane(record):
    assert record["format"] == report.FORMAT and record["size"] == [9, 21] and record["quick"] is True
    for path, value in leaves(record):
        if isinstance(value, float):
            assert value >= 0, path
    floor, rate = record["floor"]["LSE1"], record["matrix_product"]
    assert rate["flops_per_second"] >= rate["median_flops_per_second"] > 0
    assert floor["seconds"] == pytest.approx(floor["flops"] / rate["flops_per_second"])
    ways = record["dense"]["LSE1"]["ways"]
    expected = ["patches", "dilation", "shifts", "ours", "ours-bfloat16"]
    assert set(expected) == set(report.WAYS)
    assert list(ways) == expected[: 4 + has_bfloat16(CPU)]
    for name, way in ways.items():
        assert 0 < way["seconds"] <= way["median_seconds"] and way["repetitions"] >= 2
        assert way["times_floor"] == pytest.approx(way["seconds"] / floor["seconds"])
        assert way["flops"] > 0 and way["peak_bytes"] > 0
        assert way["largest_difference"] < (0.1 if "bfloat16" in name else 2e-5), name
    assert ways["ours"]["largest_difference"] == 0
    assert all(way["largest_difference"] > 0 for name, way in ways.items() if "bfloat16" in name)
    stages = record["dense"]["LSE1"]["stages"]
    assert "other" in stages and set(stages) <= {*inference.STAGES, "other"}
    assert sum(stage["share"] for stage in stages.values()) == pytest.approx(1)
    loop = record["training"]["LSE1"]["float32"]
    assert loop["ratio"] == pytest.approx(loop["images_per_second"] / loop["in_memory_images_per_second"])
    assert loop["from_shards_ratio"] == pytest.approx(
        loop["from_shards_images_per_second"] / loop["in_memory_images_per_second"])
    assert loop["gradient_ratio"] == pytest.approx(
        loop["in_memory_images_per_second"] / loop["usual_gradient_images_per_second"])
    assert loop["loader_ratio"] == pytest.approx(loop["from_shards_ratio"] / loop["ratio"])
    sp = record["superpixels"]
    assert sp["superpixels_per_second"] == pytest.approx(sp["superpixels"] * sp["images_per_second"])
    assert (record["bootstrap"]["resamples"], record["bootstrap"]["images"]) == (10_000, 1449)
    data = record["data"]
    assert data["photographs"] == suite.QUICK.photographs and 50_000 < data["bytes"] < 150_000  # as in VOC
    assert [list(data[done]) for done in ("preparation", "reading")] == [["one_process", "all_cores"],
                                                                         ["originals", "shards"]]
    assert [r["processes"] for r in data["preparation"].values()] == [1, cores()]


def test_the_record_names_no_machine(record):
    import platform

    assert record["machine"]["threads"] == 1 and record["machine"]["gpu"] is None
    assert record["machine"]["processor"] and platform.node() not in record["machine"].values()


def test_only_some_stages():
    plan = suite.parse_plan("LSE1", "4x5", "superpixels", quick=True)
    record = suite.bench(plan, CPU, progress=False)
    assert {"superpixels", "bootstrap", "floor", "matrix_product"} <= set(record)
    assert not {"dense", "training", "data"} & set(record)
    assert "Superpixels" in report.as_text(record) and "x floor" not in report.as_text(record)


def test_tables_for_people(record):
    text = report.as_text(record)
    ways = [report.WAYS[name] for name in record["dense"]["LSE1"]["ways"]]
    for words in (*ways, "9x21", "conv3" if "conv3" in record["dense"]["LSE1"]["stages"] else "other",
                  "no GPU", "Training", "Bootstrap", "patch by patch, estimated", "from shards", "read originals"):
        assert words in text
    lines = text.splitlines()
    head = next(i for i, line in enumerate(lines) if line.startswith("way "))
    assert len({len(line) for line in lines[head : head + 1 + len(ways)]}) == 1  # aligned
    for column in re.split(r"  +", lines[head].strip())[1:]:
        assert any(line.startswith(f"{column} ") for line in lines[head:]), column  # each is explained
    assert not re.search(r"\bnan\b|\bNone\b|\binf\b", text)


def test_a_record_of_an_earlier_version_has_no_shards(record):
    loop = record["training"]["LSE1"]["float32"]
    old = {key: value for key, value in loop.items() if not re.search("shards|loader|gradient", key)}
    (row,), (new,) = (list(report.training_rows({"LSE1": {"float32": r}})) for r in (old, loop))
    assert (row[2], *row[5:]) == ("–",) * 4 and "–" not in new
    assert [row[i] for i in (0, 1, 3, 4)] == [new[i] for i in (0, 1, 3, 4)]


def test_a_record_is_read_back(record, tmp_path):
    (tmp_path / "here.json").write_text(json.dumps(record))
    assert report.read_records(tmp_path) == {"here": record}
    assert report.read_records(tmp_path / "absent") == {}
    (tmp_path / "old.json").write_text('{"format": 0}')
    with pytest.raises(LsegreproError) as error:
        report.read_records(tmp_path)
    one_line(error, tmp_path / "old.json", "lsegrepro bench")


def test_the_chart_says_what_it_shows(record):
    figure = ways_chart(record)
    for words in ("LSE1", "shifted passes", f"{record['dense']['LSE1']['ways']['ours']['times_floor']:.3g}"):
        assert words in figure.alt
    assert "<img" in show(figure).html


# Asking for it


@pytest.mark.parametrize("words, expected", [
    (["--size", "0x5"], "the size is HxW, such as 375x500, at least 1x1"),
    (["--size", "375"], "got '375'"),
    (["--size", "-3x5"], "expected one argument"),
    (["--size", "3.5x4"], "the size is HxW"),
    (["--size", "9999x9999"], "at most 2,000,000 pixels"),
    (["--only", "dense,speed"], "unknown stage 'speed': choose some of dense,training,superpixels"),
    (["--only", ""], "unknown stage ''"),
    (["--model", "LSE3"], "unknown model 'LSE3': choose both or one of LSE1, LSE2"),
    (["--threads", "0"], "threads must lie in [1, 1024], got 0"),
    (["--threads", "two"], "invalid int value: 'two'"),
    (["--device", "tpu"], "unknown device 'tpu'"),
    (["--device", "cuda:99"], "no GPU 'cuda:99' here"),
])
def test_wrong_words(capsys, words, expected):
    try:
        code = cli.main(["bench", *words])
    except SystemExit as stop:  # argparse
        code = stop.code
    out, err = capsys.readouterr()
    assert (code, out) == (2, "") and err.count("\n") == 1 and err.startswith("lsegrepro: ") and expected in err


def test_plans():
    assert suite.parse_plan() == suite.Plan(("LSE1", "LSE2"), (375, 500), suite.STAGES, False)
    assert suite.parse_plan(quick=True).size == suite.QUICK_SIZE
    assert suite.parse_plan(size="30x40", quick=True).size == (30, 40)
    assert suite.parse_plan("LSE2-40-80", only="training,dense,training").stages == ("training", "dense")
    assert {model for model in ARCHITECTURES if suite.parse_plan(model).models == (model,)} == set(ARCHITECTURES)


# Measuring


def test_photographs_for_rates_are_files_and_are_prepared(tmp_path):
    index = photographs.write_shards(tmp_path, 20)
    originals = sorted((tmp_path / "originals").iterdir())
    assert len(originals) == len(index) == 20 and index.counts == {"cat": 10, "dog": 0, "background": 10}
    assert {load_image(path).shape for path in originals} == {(*photographs.SIZE, 3)}
    for i, path in ((0, originals[0]), (19, originals[19])):
        assert index.names[i] == path.name and index.image(i).shape == (300, 300, 3)
        assert np.abs(index.image(i).astype(int) - prepare(load_image(path))).mean() < 2  # a JPEG of a JPEG
    assert not np.array_equal(index.image(0), index.image(1))


def test_training_from_shards_decodes_for_every_batch(monkeypatch):
    """The three loops take as many steps, and only the second decodes on the way."""
    trained, decoded = [], []
    train, decode = rates.train, WeakDataset._decode
    monkeypatch.setattr(rates, "train", lambda args, data, *a, **b: (
        trained.append((args.steps, data.in_memory)), train(args, data, *a, **b))[1])
    monkeypatch.setattr(WeakDataset, "_decode", lambda self, index, *more: (
        decoded.append((self.in_memory, len(index))), decode(self, index, *more))[1])
    for module in (rates, training):  # what a step computes is not the question
        monkeypatch.setattr(module, "sgd_step", lambda net, optimiser, x, target, *more: torch.ones(()))
    found = rates.training_rates("LSE1", "float32", CPU, steps=2, budget=0, rounds=1)
    assert trained == [(2, True), (2, False)]
    assert decoded == [(True, rates.IMAGES)] + [(False, found["batch"])] * 2


def test_calls_are_timed_in_turns_after_a_warm_up():
    order = []
    calls = {name: lambda name=name: order.append(name) for name in "ABC"}
    times = clock.in_turns(calls, CPU, rounds=3, budget=60)
    assert order == list("ABC") * 4 and {name: len(each) for name, each in times.items()} == dict.fromkeys("ABC", 3)
    order.clear()
    clock.in_turns(calls, CPU, rounds=9, budget=0)
    assert order == list("ABC") * 3  # two rounds at least, none begun after the budget


def test_times_and_rates():
    assert clock.summary([3.0, 1.0, 2.0], factor=10) == {
        "seconds": 10.0, "median_seconds": 20.0, "repetitions": 3}
    assert clock.product_rate([2.0, 4.0], side=10) == {
        "side": 10, "flops_per_second": 1000.0, "median_flops_per_second": pytest.approx(2000 / 3), "repetitions": 2}
    assert clock.seconds(lambda: time.sleep(0.01), CPU) >= 0.01


def test_threads_are_given_back():
    before = torch.get_num_threads()
    with pytest.raises(KeyError), clock.threads(before + 1):
        assert torch.get_num_threads() == before + 1
        raise KeyError
    assert torch.get_num_threads() == before
    with clock.threads(None):
        assert torch.get_num_threads() == before


def test_labels_of_stages_are_summed_and_the_inner_one_counts():
    def work():
        for _ in range(2):
            with record_function("conv3"):
                time.sleep(0.01)
                with record_function("full"):
                    time.sleep(0.03)
        with record_function("a label of somebody else"):
            time.sleep(0.02)

    found = inference.profiled(work, CPU)
    assert list(found) == ["conv3", "full", "other"]
    assert found["conv3"] >= 0.02 and found["full"] >= 0.06 and found["other"] >= 0.02
    assert found["conv3"] < found["full"]
    assert list(inference.profiled(lambda: None, CPU)) == ["other"]


def test_peak_memory_is_of_the_call_alone(tmp_path):
    """Dilation at 200x200 pixels holds two layers of 160 float32 values a pixel; the parent's memory is not in it."""
    ballast = torch.ones(2**27)  # 512 MiB here
    peak = memory.peak_memory("dilation", "LSE1", (200, 200), CPU)
    assert 2 * 160 * 4 * 200 * 200 <= peak < 2**28 < ballast.nbytes


def test_more_memory_than_there_is_gives_no_number(monkeypatch):
    class Dying:
        def __init__(self, *args, **options): ...
        def __enter__(self): return self
        def __exit__(self, *error): return False
        def submit(self, *args): raise memory.BrokenProcessPool

    monkeypatch.setattr(memory, "ProcessPoolExecutor", Dying)
    assert memory.peak_memory("ours", "LSE1", (3, 3), CPU) is None
