"""Training: one step by hand, and interruptions of every kind that leave no trace."""

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
from conftest import SyntheticWeak, file_size_limit, one_line

from lsegrepro import LsegreproError, paper
from lsegrepro.config import NO_JITTER, Jitter, Training
from lsegrepro.files import read_json
from lsegrepro.network import devices, model
from lsegrepro.network.classify import weak_scores
from lsegrepro.network.weights import load_tensors, load_weights
from lsegrepro.training import batches, loop
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


def short(**changes):
    """A training of twelve steps of two images."""
    return Training(**{"architecture": "tiny", "samples": 24, "batch": 2, "rate": 0.02} | changes)


def go(args, decoded, out, **more):
    return loop.train(args, decoded, out, progress=False, **more)


def curve(out):
    """Rows without their times."""
    rows = [json.loads(line) for line in out.with_suffix(".jsonl").read_text().splitlines()]
    return [{k: v for k, v in row.items() if k != "images_per_second"} for row in rows]


def card(out):
    content = json.loads(out.with_suffix(".json").read_text())
    for timed in ("hours", "final"):
        content.pop(timed)
    return content


def same_result(a, b):
    assert a.read_bytes() == b.read_bytes()
    assert curve(a) == curve(b)
    assert card(a) == card(b)


def first_net(args):
    return model.PatchNet(args.net, generator=torch.Generator().manual_seed(args.seed))


def visible(folder):
    """Names of the files in a folder, without those of locks."""
    return sorted(path.name for path in folder.iterdir() if path.suffix != ".lock")


def close(a, b):
    return all(torch.allclose(p, q, atol=1e-6) for p, q in zip(a.parameters(), b.parameters(), strict=True))


# One step


def sample_losses(net, args, step, decoded):
    """-log p(y | f1, f2) of each sample, equations (3) and (4) written out in float64."""
    x, target = make_batch(decoded, args, step)
    f = net.double()(x.double()).view(args.batch, -1, 2).exp().sum(1).log()  # (B, 2)
    p = f.exp() / f.exp().sum(1, keepdim=True)
    return -p[torch.arange(args.batch), target].log()


@pytest.mark.parametrize("batch", [1, 3])
def test_a_step_is_the_sum_of_the_steps_of_its_samples(decoded, tmp_path, batch):
    """The scaling rule: lambda times the sum of the gradients, as if each sample had made its own step."""
    args = short(samples=batch, batch=batch, rate=0.01)
    out = go(args, decoded, tmp_path / "w.safetensors")
    net = first_net(args)
    losses = sample_losses(net, args, 0, decoded)
    mean = pytest.approx(losses.mean().item(), abs=1e-6)
    assert curve(out) == [{"step": 1, "samples": batch, "loss": mean}]
    gradients = torch.autograd.grad(losses.sum(), list(net.parameters()))
    trained = dict(load_weights(out).net.named_parameters())
    for (name, before), g in zip(net.named_parameters(), gradients, strict=True):
        assert torch.allclose(trained[name].double(), before - 0.01 * g, atol=1e-6)
        assert g.abs().max() > 1e-5


def test_three_steps_with_momentum(decoded, tmp_path):
    args = short(samples=6, momentum=0.5)
    out = go(args, decoded, tmp_path / "w.safetensors")
    net, losses = first_net(args).double(), []
    velocity = [torch.zeros_like(p) for p in net.parameters()]
    for step in range(3):
        loss = sample_losses(net, args, step, decoded).mean()
        losses.append(loss.item())
        gradients = torch.autograd.grad(loss, list(net.parameters()))
        with torch.no_grad():
            for p, v, g in zip(net.parameters(), velocity, gradients, strict=True):
                v.mul_(0.5).add_(g)
                p.sub_(args.rate * 2 * v)
    assert close(load_weights(out).net.double(), net)
    assert curve(out)[0]["loss"] == pytest.approx(np.mean(losses), abs=1e-6)


@pytest.mark.parametrize("aggregation", ["lse", "max", "mean", "tempered:4"])
def test_the_aggregation_is_the_one_asked_for(decoded, tmp_path, aggregation):
    args = short(samples=2, aggregation=aggregation)
    out = go(args, decoded, tmp_path / "w.safetensors")
    x, target = make_batch(decoded, args, 0)
    with torch.no_grad():
        f = model.aggregation(aggregation)(first_net(args)(x).view(2, 9, 2))
    assert curve(out)[0]["loss"] == pytest.approx(model.loss(f, target).item(), abs=1e-6)


def test_training_learns(decoded, tmp_path):
    """Striped cats from the rest: below the loss of a coin, above the floor."""
    args = short(samples=300, batch=10, rate=0.02, momentum=0.8, jitter=NO_JITTER)
    out = go(args, decoded, tmp_path / "w.safetensors")
    losses = [row["loss"] for row in curve(out)]
    assert 0.12 < losses[-1] < 0.3 < losses[0] < 0.9


def test_a_network_of_the_paper_trains(decoded, tmp_path):
    args = Training(model="max2", cls="dog", samples=4, batch=2)
    out = go(args, decoded, tmp_path / "w.safetensors")
    weights = load_weights(out, model="max2", cls="dog")
    assert sum(p.numel() for p in weights.net.parameters()) == 886_872
    first = first_net(args)
    assert all((a != b).any() for a, b in zip(weights.net.parameters(), first.parameters(), strict=True))


@pytest.mark.usefixtures("bfloat16")
def test_bfloat16_keeps_weights_in_float32(decoded, tmp_path):
    exact = go(short(), decoded, tmp_path / "a.safetensors")
    fast = go(short(precision="bfloat16"), decoded, tmp_path / "b.safetensors")
    a, b = (load_tensors(path)[0] for path in (exact, fast))
    assert all(b[k].dtype == torch.float32 for k in b) and any((a[k] != b[k]).any() for k in a)
    assert all((a[k] - b[k]).abs().max() < 0.02 for k in a)


def test_a_processor_without_bfloat16_trains_in_float32_and_says_so(decoded, tmp_path, monkeypatch):
    monkeypatch.setattr(devices, "_cpu_has_bfloat16", lambda: False)
    paths = [go(short(precision=p), decoded, tmp_path / f"{p}.safetensors") for p in ("float32", "bfloat16")]
    (a, exact), (b, asked) = map(load_tensors, paths)
    assert all(torch.equal(a[k], b[k]) for k in a)
    names = [read_json(path.with_suffix(".json"))["device"] for path in paths]
    assert names[1] == f"{names[0]}, in float32"


# What is written


def test_card_and_curve(decoded, tmp_path):
    out = go(short(), decoded, tmp_path / "deep" / "w.safetensors", heldout=decoded)
    assert out == tmp_path / "deep" / "w.safetensors"
    assert visible(out.parent) == ["w.json", "w.jsonl", "w.safetensors"]
    rows = [json.loads(line) for line in out.with_suffix(".jsonl").read_text().splitlines()]
    assert [(row["step"], row["samples"]) for row in rows] == [(3, 6), (6, 12), (9, 18), (12, 24)]
    assert [row["step"] for row in rows if "heldout_accuracy" in row] == [6, 12]
    assert all(row["images_per_second"] > 0 for row in rows)
    content = load_weights(out).card
    assert content["arguments"] == json.loads(json.dumps(short().record()))
    assert content["data_digest"] == decoded.digest and content["data"] == decoded.description
    assert content["start_sha256"] is None and content["hard_digest"] is None
    assert (content["samples"], content["final"]) == (24, rows[-1])
    assert 0 <= content["hours"] < 1 and content["device"]
    assert content["versions"]["torch"] == torch.__version__
    assert {"python", "numpy", "lsegrepro"} <= set(content["versions"])


def test_a_linear_output_is_trained_kept_and_never_taken_for_a_bounded_one(decoded, tmp_path):
    bounded = go(short(), decoded, tmp_path / "a.safetensors")
    out = go(short(output="linear"), decoded, tmp_path / "b.safetensors")
    assert "output" not in card(bounded)["arguments"] and card(out)["arguments"]["output"] == "linear"
    assert bounded.read_bytes() != out.read_bytes() and load_weights(out).net.output == "linear"
    for path, other in ((out, "tanh"), (bounded, "linear")):
        with pytest.raises(LsegreproError, match="output"):
            go(short(output=other), decoded, path)


def test_heldout_images_never_change_the_weights(decoded, tmp_path):
    a = go(short(), decoded, tmp_path / "a.safetensors", heldout=decoded)
    b = go(short(), decoded, tmp_path / "b.safetensors")
    assert a.read_bytes() == b.read_bytes()


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
        if name == "background" or negatives != "background":
            assert row[f"heldout_auc_{name}"] == pytest.approx(np.mean(pairs))
        else:
            assert f"heldout_auc_{name}" not in row


# Interruptions


@pytest.mark.parametrize("momentum, pause", [(0.0, 5), (0.9, 1), (0.9, 6)])
def test_a_resumed_training_is_an_uninterrupted_one(decoded, tmp_path, momentum, pause):
    args = short(momentum=momentum)
    whole = go(args, decoded, tmp_path / "whole.safetensors", heldout=decoded)
    parts, calls = tmp_path / "parts.safetensors", 0
    while not parts.is_file():
        path = go(args, decoded, parts, heldout=decoded, stop_after=pause)
        calls += 1
        assert path == (parts if parts.is_file() else parts.with_suffix(".checkpoint")) and path.is_file()
    assert calls == -(-12 // pause)
    same_result(whole, parts)
    assert not parts.with_suffix(".checkpoint").exists()


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_a_resumed_second_round_is_an_uninterrupted_one(decoded, tmp_path, hard, momentum):
    start = load_weights(go(short(samples=4), decoded, tmp_path / "first.safetensors"))
    args = short(round=2, momentum=momentum)
    whole = go(args, decoded, tmp_path / "whole.safetensors", start=start, hard_negatives=hard)
    parts = tmp_path / "parts.safetensors"
    for pause in (2, 5, None):
        go(args, decoded, parts, start=start, hard_negatives=hard, stop_after=pause)
    same_result(whole, parts)
    content = load_weights(whole).card
    assert content["start_sha256"] == start.sha256 and content["hard_digest"] == "hard"


def test_the_second_round_starts_from_the_first(decoded, tmp_path, hard):
    start = load_weights(go(short(samples=4), decoded, tmp_path / "first.safetensors"))
    args = short(round=2, samples=2, rate=1e-12)
    out = go(args, decoded, tmp_path / "w.safetensors", start=start, hard_negatives=hard)
    assert close(load_weights(out).net, start.net)


def test_a_checkpoint_older_than_the_curve(decoded, tmp_path):
    """Killed between the two writes: the rows beyond the checkpoint are made again, not doubled."""
    whole = go(short(), decoded, tmp_path / "whole.safetensors")
    out = tmp_path / "w.safetensors"
    old = go(short(), decoded, out, stop_after=4).read_bytes()
    go(short(), decoded, out, stop_after=5)
    out.with_suffix(".checkpoint").write_bytes(old)
    same_result(whole, go(short(), decoded, out))


def test_a_training_killed_at_random_moments_ends_as_if_it_had_not_been(decoded, tmp_path, monkeypatch):
    """SIGKILL after the next checkpoint and a random time, which may be in the middle of a write."""
    monkeypatch.setattr(loop, "LOG_EVERY", 4)
    monkeypatch.setattr(loop, "CHECKPOINT_SECONDS", -1)
    args = Training(architecture="tiny", samples=240, batch=2, rate=0.001, momentum=0.9, average=0.2)
    out = tmp_path / "killed" / "w.safetensors"
    checkpoint, rng = out.with_suffix(".checkpoint"), random.Random(time.time_ns())
    before = None
    for _ in range(4):
        child = os.fork()
        if not child:
            go(args, decoded, out)
            os._exit(0)
        while not checkpoint.is_file() or checkpoint.stat().st_mtime_ns == before:
            assert os.waitpid(child, os.WNOHANG) == (0, 0), "it ended by itself"
            time.sleep(0.001)
        time.sleep(rng.uniform(0, 0.03))
        os.kill(child, signal.SIGKILL)
        assert os.waitpid(child, 0)[1] == signal.SIGKILL and not out.exists()
        before = checkpoint.stat().st_mtime_ns
    go(args, decoded, out)
    same_result(go(args, decoded, tmp_path / "whole" / "w.safetensors"), out)


# Refusals


def test_a_finished_training_is_found(decoded, tmp_path, monkeypatch):
    out = go(short(), decoded, tmp_path / "w.safetensors")
    before = {p: (p.stat().st_mtime_ns, p.read_bytes()) for p in tmp_path.iterdir()}
    monkeypatch.setattr(loop, "batches", lambda *_: pytest.fail("it trained again"))
    assert go(short(), decoded, out) == out
    assert {p: (p.stat().st_mtime_ns, p.read_bytes()) for p in tmp_path.iterdir()} == before


@pytest.mark.parametrize("finished", [False, True])
@pytest.mark.parametrize("values, parts", [
    ({"rate": 0.01}, ("rate = 0.02", "asked for 0.01")),
    ({"seed": 1}, ("seed = 0", "asked for 1")),
    ({"model": "max1"}, ("model = 'LSE1'", "asked for 'max1'")),
    ({"jitter": Jitter(rotation=5)}, ("jitter", "'rotation': 10.0", "'rotation': 5")),
])
def test_other_arguments_are_refused(decoded, tmp_path, finished, values, parts):
    out = tmp_path / "w.safetensors"
    path = go(short(), decoded, out, stop_after=None if finished else 1)
    before = path.read_bytes()
    with pytest.raises(LsegreproError) as error:
        go(short(**values), decoded, out)
    one_line(error, path, "delete it or choose another run folder", *parts)
    assert path.read_bytes() == before


def test_a_finished_training_of_another_length_is_refused(decoded, tmp_path):
    out = go(short(), decoded, tmp_path / "w.safetensors")
    with pytest.raises(LsegreproError) as error:
        go(short(samples=26), decoded, out)
    one_line(error, out, "samples = 24, asked for 26", "delete it or choose another run folder")


# The rate and the averaged weights


@pytest.mark.parametrize("changes, expected", [
    ({}, [0.02] * 12),
    ({"cooldown": 8}, [0.02] * 8 + [0.02, 0.015, 0.01, 0.005]),
    ({"cooldown": 24}, [0.02 * (12 - step) / 12 for step in range(12)]),
    ({"decay_after": 4}, [0.02] * 3 + [0.02 * (4 / (2 * step)) ** 0.5 for step in range(3, 12)]),
])
def test_the_rate_of_each_step(decoded, tmp_path, monkeypatch, changes, expected):
    used = []
    step = torch.optim.SGD.step
    monkeypatch.setattr(torch.optim.SGD, "step", lambda self: (used.append(self.param_groups[0]["lr"]), step(self))[1])
    go(short(**changes), decoded, tmp_path / "w.safetensors")
    assert used == pytest.approx([rate * 2 for rate in expected])  # times the batch


def test_averaged_weights_are_a_mean_with_polynomial_decay(decoded, tmp_path):
    """Shamir and Zhang: after step t the mean moves by 1 / (share t) towards the weights; SGD is not touched."""
    paths = [go(short(samples=2 * steps), decoded, tmp_path / f"{steps}.safetensors") for steps in range(1, 6)]
    expected = load_weights(paths[0]).net
    for t, path in enumerate(paths[1:], 2):
        for mean, last in zip(expected.parameters(), load_weights(path).net.parameters(), strict=True):
            mean.data += (last.data - mean.data) * min(1, 1 / (0.4 * t))
    out = go(short(samples=10, average=0.4), decoded, tmp_path / "w.safetensors", keep_checkpoint=True)
    assert close(load_weights(out).net, expected) and not close(load_weights(paths[-1]).net, expected)
    checkpoint = torch.load(out.with_suffix(".checkpoint"), weights_only=True)
    assert all(torch.equal(checkpoint["net"][k], v) for k, v in load_tensors(paths[-1])[0].items())


@pytest.mark.parametrize("cooldown", [0, 6])
def test_a_longer_training_branches_off_a_checkpoint_bit_for_bit(decoded, tmp_path, cooldown):
    """Averaged weights and a cooldown included: as if it had been trained in one piece."""
    trunk = go(short(samples=18, average=0.4), decoded, tmp_path / "trunk.safetensors", keep_checkpoint=True)
    args = short(samples=24, average=0.4, cooldown=cooldown)
    shutil.copy(trunk.with_suffix(".checkpoint"), tmp_path / "branch.checkpoint")
    branch = go(args, decoded, tmp_path / "branch.safetensors")
    same_result(branch, go(args, decoded, tmp_path / "whole.safetensors"))


@pytest.mark.parametrize("old, new, differing", [
    ({}, {"cooldown": 8}, "samples = 20"),  # the cooldown would have begun before the checkpoint
    ({"cooldown": 8}, {}, "samples = 20"),  # it has begun
    ({}, {"average": 0.4}, "average = 0.0"),
])
def test_a_checkpoint_of_another_trajectory_is_refused(decoded, tmp_path, old, new, differing):
    out = tmp_path / "w.safetensors"
    go(short(samples=20, **old), decoded, out, stop_after=9)
    with pytest.raises(LsegreproError) as error:
        go(short(**new), decoded, out)
    one_line(error, out.with_suffix(".checkpoint"), differing)


@pytest.mark.parametrize("finished", [False, True])
def test_other_data_are_refused(decoded, tmp_path, finished):
    other = copy.copy(decoded)
    other.digest = "other"
    out = tmp_path / "w.safetensors"
    path = go(short(), decoded, out, stop_after=None if finished else 1)
    with pytest.raises(LsegreproError) as error:
        go(short(), other, out)
    one_line(error, path, "another data digest")


def test_other_start_and_hard_negatives_are_refused(decoded, tmp_path, hard):
    paths = [go(short(samples=2, seed=s), decoded, tmp_path / f"{s}.safetensors") for s in (0, 1)]
    a, b = map(load_weights, paths)
    args, out = short(round=2, samples=4), tmp_path / "w.safetensors"
    go(args, decoded, out, start=a, hard_negatives=hard, stop_after=1)
    other = dataclasses.replace(hard, digest="other")
    for start, negatives, what in ((b, hard, "start sha256"), (a, other, "hard digest")):
        with pytest.raises(LsegreproError) as error:
            go(args, decoded, out, start=start, hard_negatives=negatives)
        one_line(error, "w.checkpoint", what)


def test_rounds_get_what_they_need_and_nothing_else(decoded, tmp_path, hard):
    start = load_weights(go(short(samples=2), decoded, tmp_path / "first.safetensors"))
    for round, more in ((1, {"hard_negatives": hard}), (1, {"start": start, "hard_negatives": hard}),
                        (2, {}), (2, {"start": start}), (2, {"hard_negatives": hard})):
        with pytest.raises(LsegreproError) as error:
            go(short(round=round), decoded, tmp_path / "w.safetensors", **more)
        one_line(error, "round 2 needs the weights of round 1 and hard negatives")
    assert not (tmp_path / "w.jsonl").exists()


@pytest.mark.parametrize("kind", ["truncated", "empty", "text", "of another program"])
def test_a_damaged_checkpoint_is_refused(decoded, tmp_path, kind):
    out = tmp_path / "w.safetensors"
    checkpoint = go(short(), decoded, out, stop_after=2)
    if kind == "of another program":
        torch.save({"a": torch.zeros(2)}, checkpoint)
    else:
        content = checkpoint.read_bytes()
        checkpoint.write_bytes({"truncated": content[: len(content) // 2], "empty": b"", "text": b"hello"}[kind])
    with pytest.raises(LsegreproError) as error:
        go(short(), decoded, out)
    one_line(error, checkpoint, "delete it")


def interfere(monkeypatch, step, action):
    """Call `action` before a step of the next training."""
    whole = batches.batches

    def batches_with_interference(*given):
        for number, batch in enumerate(whole(*given)):
            if number == step:
                action()
            yield batch

    monkeypatch.setattr(loop, "batches", batches_with_interference)


def test_two_trainings_in_one_place(decoded, tmp_path, monkeypatch):
    """The second is refused while the first goes on, and finds its result afterwards."""
    out, messages = tmp_path / "w.safetensors", []

    def second():
        with pytest.raises(LsegreproError) as error:
            go(short(), decoded, out)
        messages.append(one_line(error, "another process is making", out))

    with monkeypatch.context() as patch:
        interfere(patch, 5, second)
        go(short(), decoded, out)
    assert len(messages) == 1
    same_result(go(short(), decoded, tmp_path / "whole.safetensors"), go(short(), decoded, out))


def test_a_loss_that_is_no_number_stops(decoded, tmp_path, monkeypatch):
    """The last good checkpoint stays as it is."""
    out = tmp_path / "w.safetensors"
    checkpoint = go(short(), decoded, out, stop_after=4)
    before = checkpoint.read_bytes()
    sgd_step = loop.sgd_step
    monkeypatch.setattr(loop, "sgd_step", lambda net, optimiser, x, target, config, step: sgd_step(
        net, optimiser, x * (float("nan") if step == 7 else 1), target, config, step))
    with pytest.raises(LsegreproError) as error:
        go(short(), decoded, out)
    one_line(error, "LSE1 cat round 1", "loss is nan", "between steps 7 and 9", "smaller rate than 0.02", checkpoint)
    with pytest.raises(LsegreproError) as error:
        go(short(), decoded, out, stop_after=4)  # before the next row of the curve
    one_line(error, "weights are no longer finite after step 8", checkpoint)
    assert not out.exists() and not out.with_suffix(".json").exists() and checkpoint.read_bytes() == before


@pytest.mark.parametrize("size", [2_000, 12_000])
def test_a_full_disk_keeps_the_last_checkpoint(decoded, tmp_path, size):
    """No file can grow beyond so many bytes: the weights still fit, or nothing does. With room again it goes on."""
    out = tmp_path / "w.safetensors"
    checkpoint = go(short(momentum=0.5), decoded, out, stop_after=4)
    before = checkpoint.read_bytes()
    with file_size_limit(size), pytest.raises(LsegreproError) as error:
        go(short(momentum=0.5), decoded, out)
    one_line(error, "cannot write", checkpoint, "free some space")
    assert checkpoint.read_bytes() == before and not out.exists()
    same_result(go(short(momentum=0.5), decoded, tmp_path / "whole.safetensors"),
                go(short(momentum=0.5), decoded, out))


def test_a_place_that_cannot_be_written_is_named(decoded, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(LsegreproError) as error:
        go(short(samples=2), decoded, tmp_path / "file" / "w.safetensors")
    one_line(error, tmp_path / "file", "cannot write")
    with pytest.raises(LsegreproError) as error:
        go(short(), decoded, tmp_path / "w.pt")
    one_line(error, "w.pt", ".safetensors")


def test_arguments_name_the_network():
    assert Training(model="max2").net is paper.ARCHITECTURES["LSE2"]
    assert Training(model="LSE2", architecture="LSE2-40-80").net.parameters == 712_762
    assert [Training(model=m).aggregation_name for m in paper.MODELS] == ["max", "lse", "max", "lse"]
    assert Training(aggregation="mean").aggregation_name == "mean"
    assert [Training(samples=s, batch=16).steps for s in (1, 16, 17, 32)] == [1, 1, 2, 2]
    assert Training().rate == 0.001 and Training().momentum == 0
