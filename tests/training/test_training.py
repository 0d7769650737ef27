"""Training: steps by hand in float64, and interruptions that leave no trace."""

import copy
import dataclasses
import json
import os
import random
import shutil
import signal
import time

import numpy as np
import pytest
import torch
from conftest import SyntheticWeak, file_size_limit, refused
from safetensors.torch import load_file

from lsegrepro import paper
from lsegrepro.config import NO_JITTER, Jitter, Training, read_card
from lsegrepro.files import locked, read_jsonl
from lsegrepro.network import devices, model
from lsegrepro.network.classify import weak_scores
from lsegrepro.network.weights import load_weights
from lsegrepro.training import loop
from lsegrepro.training.batches import HardNegatives, WeakDataset, make_batch


@pytest.fixture(autouse=True)
def often(tiny, monkeypatch):
    """A row every 3 steps of two images, an evaluation every 6."""
    monkeypatch.setattr(loop, "LOG_EVERY", 6)
    monkeypatch.setattr(loop, "EVALUATE_EVERY", 12)


@pytest.fixture
def hard(rng):
    heldout = WeakDataset(SyntheticWeak(2, seed=7), progress=False)
    return HardNegatives(heldout, rng.integers(4, 6, 9), rng.integers(0, 300, (9, 2)), "hard")


@pytest.fixture
def out(tmp_path):
    return tmp_path / "w.safetensors"


def short(**changes):
    """A training of twelve steps of two images."""
    return Training(**{"architecture": "tiny", "samples": 24, "batch": 2, "rate": 0.02} | changes)


def train(config, dataset, out, **options):
    return loop.train(config, dataset, out, progress=False, **options)


def curve(out):
    """Rows without their times."""
    return [{key: value for key, value in row.items() if key != "images_per_second"}
            for row in read_jsonl(out.with_suffix(".jsonl"))]


def card(out):
    content = read_card(out.with_suffix(".json"))
    return {key: value for key, value in content.items() if key not in ("hours", "final")}


def same_result(a, b):
    assert a.read_bytes() == b.read_bytes() and curve(a) == curve(b) and card(a) == card(b)


def initial_net(config):
    return model.PatchNet(config.net, generator=torch.Generator().manual_seed(config.seed))


def close(a, b):
    return all(torch.allclose(p, q, atol=1e-6) for p, q in zip(a.parameters(), b.parameters(), strict=True))


# A step


def sample_losses(net, config, step, dataset):
    """-log p(y | f1, f2) of each sample, equations (3) and (4) written out in float64."""
    x, target = make_batch(dataset, config, step)
    f = net.double()(x.double()).view(config.batch, -1, 2).exp().sum(1).log()  # (B, 2)
    p = f.exp() / f.exp().sum(1, keepdim=True)
    return -p[torch.arange(config.batch), target].log()


def test_three_steps_with_momentum(decoded, out):
    """The scaling rule: a step moves by lambda times the sum of the gradients of its samples."""
    config = short(samples=6, momentum=0.5)
    train(config, decoded, out)
    net, losses = initial_net(config).double(), []
    velocity = [torch.zeros_like(p) for p in net.parameters()]
    for step in range(3):
        samples = sample_losses(net, config, step, decoded)
        losses.append(samples.mean().item())
        gradients = torch.autograd.grad(samples.sum(), list(net.parameters()))
        with torch.no_grad():
            for p, v, g in zip(net.parameters(), velocity, gradients, strict=True):
                v.mul_(0.5).add_(g)
                p.sub_(config.rate * v)
    assert close(load_weights(out).net.double(), net)
    assert curve(out)[0]["loss"] == pytest.approx(np.mean(losses), abs=1e-6)


@pytest.mark.parametrize("aggregation", ["max", "tempered:4"])
def test_the_aggregation_is_the_one_asked_for(decoded, out, aggregation):
    config = short(samples=2, aggregation=aggregation)
    train(config, decoded, out)
    x, target = make_batch(decoded, config, 0)
    with torch.no_grad():
        f = model.aggregation(aggregation)(initial_net(config)(x).view(2, 9, 2))
    assert curve(out)[0]["loss"] == pytest.approx(model.loss(f, target).item(), abs=1e-6)


def test_training_learns(decoded, out):
    """Striped cats from the rest: below the loss of a coin, above the floor."""
    train(short(samples=200, batch=8, rate=0.025, momentum=0.8, jitter=NO_JITTER), decoded, out)
    losses = [row["loss"] for row in curve(out)]
    assert 0.12 < losses[-1] < 0.3 < losses[0] < 0.9


@pytest.mark.usefixtures("bfloat16")
def test_bfloat16_leaves_weights_in_float32(decoded, tmp_path, monkeypatch):
    paths = [train(short(precision=p, samples=6), decoded, tmp_path / f"{p}.safetensors")
             for p in ("float32", "bfloat16")]
    exact, fast = (load_file(path) for path in paths)
    assert all(fast[k].dtype == torch.float32 for k in fast) and any((exact[k] != fast[k]).any() for k in exact)
    assert all((exact[k] - fast[k]).abs().max() < 0.02 for k in exact)
    monkeypatch.setattr(devices, "has_bfloat16", lambda device: False)  # a processor without it says so
    emulated = train(short(precision="bfloat16", samples=6), decoded, tmp_path / "c.safetensors")
    assert all(torch.equal(exact[k], v) for k, v in load_file(emulated).items())
    assert card(emulated)["device"] == f"{card(paths[0])['device']}, in float32"


# What is written


def test_card_and_curve(decoded, tmp_path):
    out = train(short(), decoded, tmp_path / "deep" / "w.safetensors", heldout=decoded)
    assert sorted(p.name for p in out.parent.iterdir() if p.suffix != ".lock") == ["w.json", "w.jsonl", "w.safetensors"]
    rows = read_jsonl(out.with_suffix(".jsonl"))
    assert [(row["step"], row["samples"]) for row in rows] == [(3, 6), (6, 12), (9, 18), (12, 24)]
    assert [row["step"] for row in rows if "heldout_accuracy" in row] == [6, 12]
    assert all(row["images_per_second"] > 0 for row in rows)
    content = load_weights(out).card
    assert content["arguments"] == json.loads(json.dumps(short().record()))
    assert content["data_digest"] == decoded.digest and content["data"] == decoded.description
    assert content["start_sha256"] is None and content["hard_digest"] is None
    assert (content["samples"], content["final"]) == (24, rows[-1])
    assert 0 <= content["hours"] < 1 and content["device"]
    assert {"python", "numpy", "torch", "lsegrepro"} == set(content["versions"])
    before = out.stat().st_mtime_ns
    assert train(short(), decoded, out).stat().st_mtime_ns == before  # what is finished is not trained again
    # Held-out images never change the weights.
    assert train(short(), decoded, tmp_path / "w.safetensors").read_bytes() == out.read_bytes()


@pytest.mark.parametrize("negatives, other", [
    ("others", 0.5), ("paper", paper.other_class_share("cat")), ("background", 0.0),
])
def test_heldout_row_is_measured_under_the_draw_of_the_training(decoded, tiny_net, negatives, other):
    """Four images of each label: half of the draws show a cat, and `other` of the rest a dog."""
    row = loop.evaluate_heldout(tiny_net, decoded, short(negatives=negatives))
    f = weak_scores(tiny_net, decoded.images(np.arange(12)), "lse").double()
    weight = np.repeat([1, other, 1 - other], 4) / 8
    nll = f.exp().sum(1).log() - torch.where(torch.arange(12) < 4, f[:, 0], f[:, 1])
    right = (f[:, 0] >= f[:, 1]).numpy() == (np.arange(12) < 4)
    assert row["heldout_loss"] == pytest.approx(weight @ nll.numpy(), abs=1e-6)
    assert row["heldout_accuracy"] == pytest.approx(weight @ right)
    margin = (f[:, 0] - f[:, 1]).numpy()
    for name, negative in (("other", margin[4:8]), ("background", margin[8:])):
        pairs = [0.5 + 0.5 * np.sign(a - b) for a in margin[:4] for b in negative]
        expected = pytest.approx(np.mean(pairs)) if name == "background" or negatives != "background" else None
        assert row.get(f"heldout_auc_{name}") == expected


# Interruptions


@pytest.mark.parametrize("changes, pause", [
    ({}, 5), ({"momentum": 0.9, "average": 0.3, "cooldown": 8, "output": "linear"}, 4),
])
def test_a_resumed_training_is_an_uninterrupted_one(decoded, tmp_path, changes, pause):
    config = short(**changes)
    whole = train(config, decoded, tmp_path / "whole.safetensors", heldout=decoded)
    parts, calls = tmp_path / "parts.safetensors", 0
    while not parts.is_file():
        path = train(config, decoded, parts, heldout=decoded, stop_after=pause)
        calls += 1
        assert path == (parts if parts.is_file() else parts.with_suffix(".checkpoint")) and path.is_file()
    assert calls == -(-12 // pause)
    same_result(whole, parts)
    assert not parts.with_suffix(".checkpoint").exists() and load_weights(parts).net.output == config.output


def test_a_resumed_second_round_is_an_uninterrupted_one(decoded, tmp_path, hard):
    start = load_weights(train(short(samples=4), decoded, tmp_path / "first.safetensors"))
    config = short(round=2, momentum=0.9)
    whole = train(config, decoded, tmp_path / "whole.safetensors", start=start, hard_negatives=hard)
    parts = tmp_path / "parts.safetensors"
    for pause in (5, None):
        train(config, decoded, parts, start=start, hard_negatives=hard, stop_after=pause)
    same_result(whole, parts)
    assert card(whole)["start_sha256"] == start.sha256 and card(whole)["hard_digest"] == "hard"
    barely = train(short(round=2, samples=2, rate=1e-12), decoded, tmp_path / "barely.safetensors", start=start,
                   hard_negatives=hard)
    assert close(load_weights(barely).net, start.net)


def test_a_training_killed_at_random_moments_ends_as_if_it_had_not_been(decoded, tmp_path, monkeypatch):
    """SIGKILL after the next checkpoint and a random time, which may be in the middle of a write."""
    monkeypatch.setattr(loop, "LOG_EVERY", 4)
    monkeypatch.setattr(loop, "CHECKPOINT_SECONDS", -1)
    config = short(samples=80, rate=0.001, momentum=0.9, average=0.2)
    out = tmp_path / "killed" / "w.safetensors"
    checkpoint, before = out.with_suffix(".checkpoint"), None
    for _ in range(3):
        child = os.fork()
        if not child:
            train(config, decoded, out)
            os._exit(0)
        while not checkpoint.is_file() or checkpoint.stat().st_mtime_ns == before:
            assert os.waitpid(child, os.WNOHANG) == (0, 0), "it ended by itself"
            time.sleep(0.001)
        time.sleep(random.uniform(0, 0.02))
        os.kill(child, signal.SIGKILL)
        assert os.waitpid(child, 0)[1] == signal.SIGKILL and not out.exists()
        before = checkpoint.stat().st_mtime_ns
    train(config, decoded, out)
    same_result(train(config, decoded, tmp_path / "whole.safetensors"), out)


def test_a_full_disk_leaves_the_last_checkpoint(decoded, tmp_path, out):
    """No file can grow beyond so many bytes: the curve still fits. With room again it goes on."""
    config = short(momentum=0.5)
    checkpoint = train(config, decoded, out, stop_after=4)
    before = checkpoint.read_bytes()
    with file_size_limit(2000):
        refused(lambda: train(config, decoded, out), "cannot write", checkpoint, "free some space")
    assert checkpoint.read_bytes() == before and not out.exists()
    same_result(train(config, decoded, tmp_path / "whole.safetensors"), train(config, decoded, out))


# The rate and the averaged weights


@pytest.mark.parametrize("changes, expected", [
    ({}, [0.02] * 12),
    ({"cooldown": 8}, [0.02] * 8 + [0.02, 0.015, 0.01, 0.005]),
])
def test_the_rate_of_each_step(decoded, out, monkeypatch, changes, expected):
    rates = []
    step = torch.optim.SGD.step
    monkeypatch.setattr(torch.optim.SGD, "step", lambda self: (rates.append(self.param_groups[0]["lr"]), step(self))[1])
    train(short(**changes), decoded, out)
    assert rates == pytest.approx([rate * 2 for rate in expected])  # times the batch


def test_the_patches_of_negatives_are_trained_as_the_argument_says(decoded, tmp_path):
    one, each = (train(short(negative_patches=kind), decoded, tmp_path / f"{kind}.safetensors")
                 for kind in ("aggregated", "each"))
    assert not close(load_weights(one).net, load_weights(each).net)
    assert "negative_patches" not in read_card(one.with_suffix(".json"))["arguments"]  # as in older cards


def test_averaged_weights_are_a_mean_with_polynomial_decay(decoded, tmp_path, out):
    """Shamir and Zhang: after step t the mean moves by 1 / (share t) towards the weights; SGD is not touched."""
    paths = [train(short(samples=2 * steps), decoded, tmp_path / f"{steps}.safetensors") for steps in range(1, 6)]
    expected = load_weights(paths[0]).net
    for t, path in enumerate(paths[1:], 2):
        for mean, last in zip(expected.parameters(), load_weights(path).net.parameters(), strict=True):
            mean.data += (last.data - mean.data) * min(1, 1 / (0.4 * t))
    train(short(samples=10, average=0.4), decoded, out, keep_checkpoint=True)
    assert close(load_weights(out).net, expected) and not close(load_weights(paths[-1]).net, expected)
    checkpoint = torch.load(out.with_suffix(".checkpoint"), weights_only=True)
    assert all(torch.equal(checkpoint["net"][k], v) for k, v in load_file(paths[-1]).items())


@pytest.mark.parametrize("cooldown", [0, 6])
def test_a_longer_training_branches_off_a_checkpoint_bit_for_bit(decoded, tmp_path, cooldown):
    """Averaged weights and a cooldown included: as if it had been trained in one piece."""
    trunk = train(short(samples=18, average=0.4), decoded, tmp_path / "trunk.safetensors", keep_checkpoint=True)
    config = short(samples=24, average=0.4, cooldown=cooldown)
    shutil.copy(trunk.with_suffix(".checkpoint"), tmp_path / "branch.checkpoint")
    branch = train(config, decoded, tmp_path / "branch.safetensors")
    same_result(branch, train(config, decoded, tmp_path / "whole.safetensors"))


@pytest.mark.parametrize("old, new, differing", [
    ({}, {"cooldown": 8}, "samples = 20"),  # the cooldown would have begun before the checkpoint
    ({"cooldown": 8}, {}, "samples = 20"),  # it has begun
    ({}, {"average": 0.4}, "average = 0.0"),
])
def test_a_checkpoint_of_another_trajectory_is_refused(decoded, out, old, new, differing):
    checkpoint = train(short(samples=20, **old), decoded, out, stop_after=9)
    refused(lambda: train(short(**new), decoded, out), checkpoint, differing)


# Refusals


@pytest.mark.parametrize("finished", [False, True])
def test_other_arguments_and_other_data_are_refused(decoded, out, finished):
    path = train(short(samples=4), decoded, out, stop_after=None if finished else 1)
    before, cure = path.read_bytes(), "delete it or choose another run folder"
    for values, parts in [({"rate": 0.01}, ("rate = 0.02", "asked for 0.01")), ({"seed": 1}, ("seed = 0",)),
                          ({"model": "max1"}, ("model = 'LSE1'", "asked for 'max1'")),
                          ({"jitter": Jitter(rotation=5)}, ("jitter", "'rotation': 10.0", "'rotation': 5"))]:
        config = short(**{"samples": 4} | values)
        refused(lambda config=config: train(config, decoded, out), path, cure, *parts)
    if finished:
        refused(lambda: train(short(samples=6), decoded, out), path, "samples = 4, asked for 6")
    other = copy.copy(decoded)
    other.digest = "other"
    refused(lambda: train(short(samples=4), other, out), path, "data_digest = ")
    assert path.read_bytes() == before


def test_other_start_and_hard_negatives_are_refused(decoded, tmp_path, out, hard):
    a, b = (load_weights(train(short(samples=2, seed=s), decoded, tmp_path / f"{s}.safetensors")) for s in (0, 1))
    config = short(round=2, samples=4)
    train(config, decoded, out, start=a, hard_negatives=hard, stop_after=1)
    other = dataclasses.replace(hard, digest="other")
    for start, negatives, what in ((b, hard, "start_sha256"), (a, other, "hard_digest")):
        refused(lambda start=start, negatives=negatives: train(config, decoded, out, start=start,
                                                               hard_negatives=negatives), "w.checkpoint", what)
    for round, options in ((1, {"hard_negatives": hard}), (2, {"start": a}), (2, {"hard_negatives": hard})):
        refused(lambda round=round, options=options: train(short(round=round), decoded, tmp_path / "none.safetensors",
                                                           **options), "round 2 needs the weights of round 1 and hard")
    assert not list(tmp_path.glob("none.*"))


def test_a_checkpoint_of_another_arithmetic_is_refused(decoded, out, monkeypatch):
    config = dataclasses.replace(short(), precision="bfloat16")
    monkeypatch.setattr(devices, "has_bfloat16", lambda device: True)
    path = train(config, decoded, out, stop_after=1)
    monkeypatch.setattr(devices, "has_bfloat16", lambda device: False)
    refused(lambda: train(config, decoded, out), path, "was computed in bfloat16, this machine would take float32")


def test_a_damaged_checkpoint_is_refused(decoded, out):
    checkpoint = train(short(), decoded, out, stop_after=2)
    for content in (checkpoint.read_bytes()[:5000], b"hello"):
        checkpoint.write_bytes(content)
        refused(lambda: train(short(), decoded, out), checkpoint, "delete it")


def test_two_trainings_in_one_place(decoded, out):
    with locked(out):
        refused(lambda: train(short(), decoded, out), "another process is making", out)


def test_a_loss_that_is_not_finite_stops(decoded, out, monkeypatch):
    """The last good checkpoint stays as it is."""
    checkpoint = train(short(), decoded, out, stop_after=4)
    before, sgd_step = checkpoint.read_bytes(), loop.sgd_step
    monkeypatch.setattr(loop, "sgd_step", lambda net, optimiser, x, target, config, step: sgd_step(
        net, optimiser, x * (float("nan") if step == 7 else 1), target, config, step))
    refused(lambda: train(short(), decoded, out), "LSE1 cat round 1 has diverged", "loss is nan between steps 7 and 9",
            "smaller rate than 0.02")
    refused(lambda: train(short(), decoded, out, stop_after=4), "weights are no longer finite after step 8")
    assert not out.exists() and not out.with_suffix(".json").exists() and checkpoint.read_bytes() == before
