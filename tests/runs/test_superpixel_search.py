"""The choice of superpixels: measured on train alone, as pixels counted by hand say, kept sealed, resumable."""

import dataclasses
import json
import shutil
import subprocess
import sys

import numpy as np
import pytest
from conftest import one_line
from skimage.segmentation import felzenszwalb

from lsegrepro import cli
from lsegrepro.data.drawn import DrawnSegmentation
from lsegrepro.evaluation import Interval
from lsegrepro.evidence import RegionsBuilder, scoring
from lsegrepro.config import Superpixels
from lsegrepro.files import LsegreproError
from lsegrepro.runs import segment, sensitivity
from lsegrepro.runs.folder import open_run
from lsegrepro.runs.sensitivity import Sensitivity, Setting, kept, measure, measuring, remaining, search

FINE, COARSE = Superpixels(100, 0.8, 50), Superpixels(400, 0.8, 400)
NETWORKS = ("max1-cat-round2-seed0", "LSE1-cat-round2-seed0")


def setting(params: Superpixels, found, superpixels: float = 10.0, reach: float = 0.9) -> Setting:
    """A setting where each network finds these cat pixels of three images, and nothing that is wrong."""
    return Setting(params, superpixels, {"cat": reach}, dict.fromkeys(NETWORKS, 0.5),
                   {name: np.array([each, (0, 0, 0)]).T for name, each in zip(NETWORKS, found, strict=True)})


def record_of(*settings: Setting, weights=(1.0, 1.0, 1.0)) -> Sensitivity:
    networks = [{"name": name, "class": "cat", "weights_sha256": "f00d"} for name in NETWORKS]
    return Sensitivity({"networks": networks, "scoring": {}}, np.array(weights),
                       {"cat": np.array([[100, 50], [100, 50], [0, 150]])}, settings)


# What is measured


@pytest.fixture(scope="module")
def measured(tiny_folder, tmp_path_factory):
    """A copy of the tiny run in which two settings were measured, and their record."""
    folder = shutil.copytree(tiny_folder, tmp_path_factory.mktemp("sensitivity") / "tiny")
    run = open_run(folder / "tiny.toml", folder / "run", device="cpu", progress=False)
    return run, measure(run, [FINE, COARSE])


def test_a_setting_is_what_the_pixels_say(measured):
    """Scored, cut, voted and counted afresh, pixel by pixel; the largest AP on the grid of 0.005."""
    run, record = measured
    data = DrawnSegmentation("train", 4)
    assert record.networks == ["max1-cat-round2-seed0", "LSE1-cat-round2-seed0"] and len(data) == 4
    for one, params in zip(record.settings, (FINE, COARSE), strict=True):
        images = [data.image(i) for i in range(4)]
        cuts = [felzenszwalb(image, params.scale, params.sigma, params.min_size) for image in images]
        assert one.params == params and one.superpixels == np.mean([labels.max() + 1 for labels in cuts])
        truth = np.concatenate([(data.mask(i) == 8).ravel() for i in range(4)])
        known = np.concatenate([(data.mask(i) != 255).ravel() for i in range(4)])
        labels = np.concatenate([cut.ravel() + 10_000 * i for i, cut in enumerate(cuts)])
        majority = np.bincount(labels, truth & known) > np.bincount(labels, ~truth & known)
        assert one.achievable["cat"] == pytest.approx(jaccard(majority[labels], truth, known))
        for model, name in zip(("max1", "LSE1"), record.networks, strict=True):
            weights = run.weights(model, "cat", 2)
            codes = np.concatenate([scoring.score_image(weights, image, run.profile.scoring)[0].ravel()
                                    for image in images])
            votes = (2 * np.bincount(labels, codes > b / 200 * 65535) > np.bincount(labels) for b in range(200))
            aps = [jaccard(vote[labels], truth, known) for vote in votes]
            assert one.thetas[name] == int(np.argmax(aps)) / 200
            assert record.ap(one, name) == pytest.approx(max(aps))


def jaccard(answer, truth, known) -> float:
    return (answer & truth & known).sum() / ((answer | truth) & known).sum()


def test_val_takes_no_part(tiny_folder, tmp_path, measured, monkeypatch):
    folder = shutil.copytree(tiny_folder, tmp_path / "tiny")
    run = open_run(folder / "tiny.toml", folder / "run", device="cpu", progress=False)
    for path in (run.folder / "evidence").iterdir():
        path.unlink()
    asked = []
    monkeypatch.setattr(type(run), "segmentation", lambda _, split: asked.append(split) or DrawnSegmentation(split, 4))
    record = measure(run, [COARSE])
    assert set(asked) == {"train"} and [path.name for path in (run.folder / "evidence").iterdir()] == [
        "superpixels-train.npz"]
    assert record.ap(record.settings[0], record.networks[0]) == measured[1].ap(
        measured[1].settings[1], record.networks[0])


def test_what_is_kept_is_not_measured_again(measured, monkeypatch):
    run, record = measured
    before = sensitivity.record_path(run).read_bytes()
    monkeypatch.setattr(measuring, "_measure", None)
    again = measure(run, [COARSE, FINE])
    assert [s.params for s in again.settings] == [FINE, COARSE]
    assert sensitivity.record_path(run).read_bytes() == before
    with pytest.raises(LsegreproError) as error:
        measure(dataclasses.replace(run), [Superpixels(7)])
    one_line(error, sensitivity.record_path(run), "compute nothing")


def test_reading_needs_neither_torch_nor_pictures(measured):
    run, record = measured
    code = (
        "import sys; sys.modules['torch'] = sys.modules['skimage'] = None\n"
        "from lsegrepro.runs.folder import open_run; from lsegrepro.runs.sensitivity import kept\n"
        "record = kept(open_run(sys.argv[1], sys.argv[2])); a, b = record.settings\n"
        "print([record.difference(a, b, n).value for n in record.networks])"
    )
    words = [sys.executable, "-c", code, str(run.folder.parent / "tiny.toml"), str(run.folder)]
    said = subprocess.run(words, capture_output=True, text=True)
    assert said.returncode == 0, said.stderr
    assert json.loads(said.stdout) == [record.ap(record.settings[0], n) - record.ap(record.settings[1], n)
                                       for n in record.networks]


def test_a_run_without_a_trained_network_is_refused(own_run):
    shutil.rmtree(own_run.folder / "weights")
    with pytest.raises(LsegreproError) as error:
        measure(own_run, [COARSE])
    one_line(error, "no network of round 2", "train one")
    assert kept(own_run) is None


# The search


def test_the_search_takes_the_grid_then_sigma_and_goes_on_from_where_it_stopped(own_run, monkeypatch, capsys):
    monkeypatch.setattr(sensitivity.record, "SCALES", (100.0, 400.0))
    monkeypatch.setattr(sensitivity.record, "MIN_SIZES", (100, 400))
    asked = []

    def stop(run, params, original=measuring._measure):
        if len(asked) == 3:
            raise KeyboardInterrupt
        asked.append(params)
        return original(run, params)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(measuring, "_measure", stop)
        search(own_run)
    assert asked == [s.params for s in kept(own_run).settings] == [
        Superpixels(100, 0.8, 100), Superpixels(100, 0.8, 400), Superpixels(400, 0.8, 100)]
    record = search(own_run)
    grid = record.settings[:4]
    best = record.best(grid).params
    assert [s.params for s in record.settings[3:]] == [
        Superpixels(400, 0.8, 400), Superpixels(best.scale, 0.5, best.min_size),
        Superpixels(best.scale, 1.2, best.min_size)]
    assert remaining(record) == [] and not {s.params.sigma for s in record.settings} & {0.0}
    header = kept(own_run).header
    assert header["rule"] == sensitivity.RULE and Superpixels(**header["chosen"]) == record.chosen.params
    assert cli.main(["superpixels", "--profile", own_run.profile.spec, "--run", str(own_run.folder)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 8 and lines[-1] == str(sensitivity.record_path(own_run))
    (chosen,) = (line for line in lines if line.endswith(" (chosen)"))
    assert chosen.split()[2] == str(record.chosen.params.min_size) and chosen.split()[4:6] == [
        f"{100 * record.ap(record.chosen, name):.2f}" for name in record.networks]


def test_the_largest_mean_ap_is_chosen():
    low, high = setting(FINE, [(90, 0, 0), (0, 0, 0)]), setting(COARSE, [(50, 0, 0), (50, 0, 0)])
    record = record_of(low, high)
    assert [record.ap(low, n) for n in NETWORKS] == [0.45, 0] and record.mean_ap(high) == 0.25
    assert record.chosen is high


def test_a_cut_that_leaves_too_little_within_reach_is_not_chosen():
    fine = setting(FINE, [(10, 0, 0)] * 2, reach=sensitivity.FLOOR)
    coarse = setting(COARSE, [(50, 0, 0)] * 2, reach=sensitivity.FLOOR - 0.01)
    coarser = setting(Superpixels(800, 0.8, 400), [(60, 0, 0)] * 2, reach=sensitivity.FLOOR - 0.02)
    assert record_of(fine, coarse).chosen is fine
    assert record_of(coarse, coarser).chosen is coarse  # nothing reaches the floor: the nearest


def test_of_equal_ones_the_fewest_superpixels():
    settings = [setting(Superpixels(100, 0.8, size), [(50, 0, 0)] * 2, superpixels)
                for size, superpixels in ((50, 30.0), (100, 10.0), (200, 20.0))]
    assert record_of(*settings).chosen is settings[1]


def test_along_a_parameter_the_others_are_held():
    params = [Superpixels(*p) for p in ((100, 0.8, 50), (400, 0.8, 50), (50, 0.8, 50), (100, 0.8, 100), (100, 1.2, 50),
                                        (100, 0.5, 50), (50, 0.8, 100))]
    settings = [setting(p, [(i == 4, 0, 0)] * 2) for i, p in enumerate(params)]  # chosen: the first with sigma 1.2
    record = record_of(*settings)
    found = {key: [getattr(s.params, key) for s in record.along(key)] for key in ("scale", "min_size", "sigma")}
    assert record.chosen is settings[4]
    assert found == {"scale": [50, 100, 400], "min_size": [50, 100], "sigma": [0.5, 0.8, 1.2]}


def test_images_stand_for_the_absent():
    one = dataclasses.replace(setting(FINE, [(50, 0, 0)] * 2),
                              positives=dict.fromkeys(NETWORKS, np.array([[50, 0], [0, 0], [0, 100]])))
    for weight, ap in ((1, 50 / 300), (3, 50 / 500)):
        assert record_of(one, weights=(1, 1, weight)).ap(one, NETWORKS[0]) == pytest.approx(ap)


def test_a_difference_is_paired():
    """Both settings find the same share of each image, so no draw of images changes the difference."""
    a, b = setting(FINE, [(60, 60, 0)] * 2), setting(COARSE, [(40, 40, 0)] * 2)
    record = record_of(a, b)
    assert record.difference(a, a, NETWORKS[0]) == Interval(0, 0, 0)
    found = record.difference(a, b, NETWORKS[0])
    assert [found.value, found.low, found.high] == pytest.approx([0.2, 0.2, 0.2])


def test_achievable_iou_follows_the_majorities(rng):
    """Counted from masks cut along a grid; void pixels are in no count, a tie is background."""
    labels = (np.arange(24)[:, None] // 4 * 6 + np.arange(24) // 4).astype(np.int32)
    masks = [rng.choice([0, 8, 12, 255], (24, 24), p=(0.3, 0.5, 0.1, 0.1)).astype(np.uint8) for _ in range(2)]
    builder = RegionsBuilder("train", "d", FINE, absent=[], listed=2)
    tp = fp = fn = 0
    for name, mask in zip("ab", masks, strict=True):
        builder.add(name, labels, mask)
        for superpixel in range(36):
            inside = mask[labels == superpixel]
            cat, other = (inside == 8).sum(), np.isin(inside, (0, 12)).sum()
            tp, fp, fn = (tp + cat, fp + other, fn) if cat > other else (tp, fp, fn + cat)
    assert fn and sensitivity.achievable(builder.build(), "cat") == tp / (tp + fp + fn)


# The record


@pytest.fixture
def record_file(measured, tmp_path):
    run, _ = measured
    folder = shutil.copytree(run.folder.parent, tmp_path / "tiny")
    run = open_run(folder / "tiny.toml", folder / "run", device="cpu", progress=False)
    return run, sensitivity.record_path(run)


def test_a_record_comes_back_as_it_was_and_writes_the_same_bytes(record_file):
    run, path = record_file
    before, record = path.read_bytes(), kept(run)
    sensitivity.write(path, record)
    assert path.read_bytes() == before
    assert set(record.header) >= {"split", "data_digest", "images", "listed", "networks", "scoring", "scikit_image",
                                  "package_version", "rule"} and record.header["split"] == "train"
    assert record.header["networks"][1]["weights_sha256"] == run.card("LSE1", "cat", 2)["sha256"]


def test_a_damaged_record_is_refused(record_file):
    run, path = record_file
    whole = path.read_bytes()
    middle = len(whole) // 2
    for content in (b"", whole[:middle], whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :],
                    run.regions_path("train").read_bytes()):
        path.write_bytes(content)
        with pytest.raises(LsegreproError) as error:
            kept(run)
        one_line(error, path, "refused")


def test_a_record_of_other_weights_is_refused(record_file):
    run, path = record_file
    card = run.weights_path("LSE1", "cat", 2).with_suffix(".json")
    card.write_text(card.read_text().replace(run.card("LSE1", "cat", 2)["sha256"], "0" * 64))
    with pytest.raises(LsegreproError) as error:
        kept(run)
    one_line(error, path, "networks", "delete it")


def test_the_published_search_is_whole_and_knows_the_setting_of_the_profile():
    run = segment.published_run("cpu")
    record = kept(run)
    if record is None:
        pytest.skip("no record is published beside the package")
    used = record.at(run.profile.superpixels)
    assert remaining(record) == [] and min(used.achievable.values()) >= sensitivity.FLOOR
    # It was chosen with shorter trainings; of those that are published, none shows it to be worse than their choice.
    assert all(record.difference(record.chosen, used, network).low <= 0 for network in record.networks)
    assert record.header["data_digest"] == run.regions("train").data_digest
