"""Training: one step by hand, and interruptions of every kind that leave no trace."""

import dataclasses
import errno
import json
import os
import shutil
import subprocess
import sys
import time

import numpy as np
import pytest
import torch
from conftest import ROOT, one_line

from lsegrepro import LsegreproError, arguments, paper
from lsegrepro.config import NO_JITTER, Jitter, Training
from lsegrepro.files import read_json
from lsegrepro.network import classify, model
from lsegrepro.network.weights import load_tensors, load_weights
from lsegrepro.training import batches, loop


@pytest.fixture(autouse=True)
def often(tiny, monkeypatch):
    """A row every 3 steps of two images, an evaluation every 6."""
    monkeypatch.setattr(loop, "LOG_EVERY", 6)
    monkeypatch.setattr(loop, "EVALUATE_EVERY", 12)


@pytest.fixture
def hard(rng):
    images = rng.integers(0, 256, (2, 300, 300, 3)).astype(np.uint8)
    return batches.HardNegatives(images, rng.integers(0, 2, 9), rng.integers(0, 300, (9, 2)), "hard")


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
    found = json.loads(out.with_suffix(".json").read_text())
    for timed in ("hours", "final"):
        found.pop(timed)
    return found


def same_result(a, b):
    assert a.read_bytes() == b.read_bytes()
    assert curve(a) == curve(b)
    assert card(a) == card(b)


def first_net(args):
    return model.PatchNet(args.net, generator=torch.Generator().manual_seed(args.seed))


def close(a, b):
    return all(torch.allclose(p, q, atol=1e-6) for p, q in zip(a.parameters(), b.parameters(), strict=True))


# One step


def sample_losses(net, args, step, decoded):
    """-log p(y | f1, f2) of each sample, equations (3) and (4) written out in float64."""
    x, target = batches.batch_patches(args, step, decoded)
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
    x, target = batches.batch_patches(args, 0, decoded)
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
    monkeypatch.setattr(classify, "_cpu_has_bfloat16", lambda: False)
    paths = [go(short(precision=p), decoded, tmp_path / f"{p}.safetensors") for p in ("float32", "bfloat16")]
    (a, exact), (b, asked) = map(load_tensors, paths)
    assert all(torch.equal(a[k], b[k]) for k in a)
    devices = [read_json(path.with_suffix(".json"))["device"] for path in paths]
    assert devices[1] == f"{devices[0]}, in float32"


# What is written


def test_card_and_curve(decoded, tmp_path):
    out = go(short(), decoded, tmp_path / "deep" / "w.safetensors", heldout=decoded)
    assert out == tmp_path / "deep" / "w.safetensors"
    assert sorted(p.name for p in out.parent.iterdir()) == ["w.json", "w.jsonl", "w.safetensors"]
    rows = [json.loads(line) for line in out.with_suffix(".jsonl").read_text().splitlines()]
    assert [(row["step"], row["samples"]) for row in rows] == [(3, 6), (6, 12), (9, 18), (12, 24)]
    assert [row["step"] for row in rows if "heldout_accuracy" in row] == [6, 12]
    assert all(row["images_per_second"] > 0 for row in rows)
    found = load_weights(out).card
    assert found["arguments"] == json.loads(json.dumps(short().record()))
    assert found["data_digest"] == decoded.digest and found["data"] == decoded.description
    assert found["start_sha256"] is None and found["hard_digest"] is None
    assert (found["samples"], found["final"]) == (24, rows[-1])
    assert 0 <= found["hours"] < 1 and found["device"]
    assert found["versions"]["torch"] == torch.__version__
    assert {"python", "numpy", "lsegrepro"} <= set(found["versions"])


def test_a_linear_output_is_trained_kept_and_never_taken_for_a_bounded_one(decoded, tmp_path):
    bounded = go(short(), decoded, tmp_path / "a.safetensors")
    out = go(short(output="linear"), decoded, tmp_path / "b.safetensors")
    assert "output" not in card(bounded)["arguments"] and card(out)["arguments"]["output"] == "linear"
    assert bounded.read_bytes() != out.read_bytes() and load_weights(out).net.output == "linear"
    for path, other in ((out, "tanh"), (bounded, "linear")):
        with pytest.raises(LsegreproError, match="output"):
            go(short(output=other), decoded, path)


def test_samples_are_rounded_up_to_whole_batches(decoded, tmp_path):
    out = go(short(samples=5), decoded, tmp_path / "w.safetensors")
    assert load_weights(out).card["samples"] == 6 and curve(out)[-1]["samples"] == 6


def test_heldout_images_never_change_the_weights(decoded, tmp_path):
    a = go(short(), decoded, tmp_path / "a.safetensors", heldout=decoded)
    b = go(short(), decoded, tmp_path / "b.safetensors")
    assert a.read_bytes() == b.read_bytes()


@pytest.mark.parametrize("negatives, other", [
    ("others", 0.5), ("paper", paper.other_class_share("cat")), ("background", 0.0),
])
def test_heldout_row_is_measured_under_the_draw_of_the_training(decoded, tiny_net, negatives, other):
    """Four images of each label: half of the draws show a cat, and `other` of the rest a dog."""
    found = loop.evaluate_weak(tiny_net, decoded, short(negatives=negatives))
    f = loop.weak_scores(tiny_net, decoded.batch(np.arange(12)), "lse").double()
    weight = np.repeat([1, other, 1 - other], 4) / 8
    nll = f.exp().sum(1).log() - torch.where(torch.arange(12) < 4, f[:, 0], f[:, 1])
    right = (f[:, 0] >= f[:, 1]).numpy() == (np.arange(12) < 4)
    assert found["heldout_loss"] == pytest.approx(weight @ nll.numpy(), abs=1e-6)
    assert found["heldout_accuracy"] == pytest.approx(weight @ right)
    margin = (f[:, 0] - f[:, 1]).numpy()
    for name, negative in (("other", margin[4:8]), ("background", margin[8:])):
        pairs = [0.5 + 0.5 * np.sign(a - b) for a in margin[:4] for b in negative]
        if name == "background" or negatives != "background":
            assert found[f"heldout_auc_{name}"] == pytest.approx(np.mean(pairs))
        else:
            assert f"heldout_auc_{name}" not in found


def test_seeds_differ(decoded, tmp_path):
    paths = [go(short(samples=2, seed=s), decoded, tmp_path / f"{s}.safetensors") for s in (0, 1)]
    assert paths[0].read_bytes() != paths[1].read_bytes()


# Interruptions


@pytest.mark.fault("kills", tried="a training stopped after any number of steps, many times",
                   survived="weights, curve and card as of one that was not")
@pytest.mark.parametrize("momentum", [0.0, 0.9])
@pytest.mark.parametrize("pause", [1, 4, 6, 11])
def test_a_resumed_training_is_an_uninterrupted_one(decoded, tmp_path, momentum, pause):
    args = short(momentum=momentum)
    whole = go(args, decoded, tmp_path / "whole.safetensors", heldout=decoded)
    parts, calls = tmp_path / "parts.safetensors", 0
    while not parts.is_file():
        found = go(args, decoded, parts, heldout=decoded, stop_after=pause)
        calls += 1
        assert found == (parts if parts.is_file() else parts.with_suffix(".checkpoint")) and found.is_file()
    assert calls == -(-12 // pause)
    same_result(whole, parts)
    assert not parts.with_suffix(".checkpoint").exists()


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_a_resumed_second_round_is_an_uninterrupted_one(decoded, tmp_path, hard, momentum):
    start = load_weights(go(short(samples=4), decoded, tmp_path / "first.safetensors"))
    args = short(round=2, momentum=momentum)
    whole = go(args, decoded, tmp_path / "whole.safetensors", start=start, hard=hard)
    parts = tmp_path / "parts.safetensors"
    for pause in (2, 5, None):
        go(args, decoded, parts, start=start, hard=hard, stop_after=pause)
    same_result(whole, parts)
    found = load_weights(whole).card
    assert found["start_sha256"] == start.sha256 and found["hard_digest"] == "hard"


def test_the_second_round_starts_from_the_first(decoded, tmp_path, hard):
    start = load_weights(go(short(samples=4), decoded, tmp_path / "first.safetensors"))
    args = short(round=2, samples=2, rate=1e-12)
    out = go(args, decoded, tmp_path / "w.safetensors", start=start, hard=hard)
    assert close(load_weights(out).net, start.net)


@pytest.mark.fault("kills", tried="a kill between the curve and the checkpoint",
                   survived="rows are made again, not doubled")
def test_a_checkpoint_older_than_the_curve(decoded, tmp_path):
    """Killed between the two writes: the rows beyond the checkpoint are made again, not doubled."""
    whole = go(short(), decoded, tmp_path / "whole.safetensors")
    out = tmp_path / "w.safetensors"
    old = go(short(), decoded, out, stop_after=4).read_bytes()
    go(short(), decoded, out, stop_after=5)
    out.with_suffix(".checkpoint").write_bytes(old)
    same_result(whole, go(short(), decoded, out))


@pytest.mark.fault("kills", tried="a kill between the last step and the weights", survived="the same call writes them")
def test_killed_between_the_last_step_and_the_weights(decoded, tmp_path, monkeypatch):
    whole = go(short(), decoded, tmp_path / "whole.safetensors")
    out = tmp_path / "w.safetensors"

    def killed(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(loop, "save_weights", killed)
        go(short(), decoded, out)
    assert not out.exists()
    same_result(whole, go(short(), decoded, out))


KILLED = """
import os, random, signal, sys, time
sys.path[:0] = sys.argv[3:]
from pathlib import Path
from conftest import SyntheticWeak
from lsegrepro import paper
from lsegrepro.config import Training
from lsegrepro.network import weights
from lsegrepro.training import loop as training
from lsegrepro.training.batches import Decoded
paper.ARCHITECTURES["tiny"] = paper.Architecture("tiny", (4, 6, 8, 10), (8, 3, 5), (4, 4), 95, 9, 0)
training.LOG_EVERY, training.CHECKPOINT_SECONDS = 4, -1
out, kills = Path(sys.argv[1]), int(sys.argv[2])
args = Training(architecture="tiny", samples=240, batch=2, rate=0.001, momentum=0.9)
data = Decoded(SyntheticWeak(), progress=False)
checkpoint = out.with_suffix(".checkpoint")
for kill in range(kills + 1):
    before = checkpoint.stat().st_mtime_ns if kill else 0
    child = os.fork()
    if not child:
        training.train(args, data, out, progress=False)
        os._exit(0)
    if kill < kills:
        while not checkpoint.is_file() or checkpoint.stat().st_mtime_ns == before:
            assert os.waitpid(child, os.WNOHANG) == (0, 0), "it stopped by itself"
            time.sleep(0.001)
        time.sleep(random.uniform(0, 0.03))
        os.kill(child, signal.SIGKILL)
        assert not out.exists(), "the training ended before it was killed"
        step = int(weights.load_tensors(checkpoint)[1]["step"])
        print(step, sum(path.suffix != ".lock" and path.name[0] == "." for path in out.parent.iterdir()))
    assert os.waitpid(child, 0)[1] == (signal.SIGKILL if kill < kills else 0)
"""


@pytest.mark.fault("kills", tried="five SIGKILLs of a training, at its checkpoints and between them",
                   survived="weights bit for bit as without a kill; nothing left over")
def test_a_training_killed_again_and_again_goes_on(decoded, tmp_path, monkeypatch):
    """SIGKILL at random moments, some of them in the middle of a write; the weights are those of no kill."""
    kills, out = 5, tmp_path / "killed" / "w.safetensors"
    done = subprocess.run([sys.executable, "-B", "-c", KILLED, out, str(kills), ROOT, ROOT / "tests"], text=True,
                          capture_output=True, timeout=300,
                          env=os.environ | {"OMP_NUM_THREADS": str(torch.get_num_threads())})
    assert done.returncode == 0, done.stderr
    steps = [int(line.split()[0]) for line in done.stdout.splitlines()]
    assert len(steps) == kills and 0 < steps[0] < steps[-1] < 120 and steps == sorted(steps)
    monkeypatch.setattr(loop, "LOG_EVERY", 4)
    args = Training(architecture="tiny", samples=240, batch=2, rate=0.001, momentum=0.9)
    same_result(go(args, decoded, tmp_path / "whole" / "w.safetensors"), out)
    assert sorted(p.name for p in out.parent.iterdir()) == ["w.json", "w.jsonl", "w.safetensors"]


@pytest.mark.fault("kills", tried="temporary files and a lock file of a dead process",
                   survived="they go; files of others stay")
def test_what_a_killed_process_left_is_removed_and_nothing_else(decoded, tmp_path):
    out = tmp_path / "w.safetensors"
    go(short(), decoded, out, stop_after=4)
    left = [tmp_path / name for name in (".w.checkpoint.abcd_012.checkpoint", ".w.jsonl.zyxw9876.jsonl",
                                         ".w.json.abcd_012.json", ".w.safetensors.abcd_012.safetensors")]
    others = [tmp_path / name for name in (".v.safetensors.abcd_012.safetensors", ".w.npz.abcd_012.npz", "w.txt")]
    for path in left + others:
        path.write_text("half")
    (tmp_path / ".w.safetensors.lock").write_text("process 1 on this since then")  # of a process that was killed
    go(short(), decoded, out)
    assert sorted(tmp_path.iterdir()) == sorted([*others, out, out.with_suffix(".json"), out.with_suffix(".jsonl")])


# Refusals


def test_a_finished_training_is_found(decoded, tmp_path, monkeypatch):
    out = go(short(), decoded, tmp_path / "w.safetensors")
    before = {p: (p.stat().st_mtime_ns, p.read_bytes()) for p in tmp_path.iterdir()}
    monkeypatch.setattr(loop, "batches", lambda *_: pytest.fail("it trained again"))
    assert go(short(), decoded, out) == out
    assert {p: (p.stat().st_mtime_ns, p.read_bytes()) for p in tmp_path.iterdir()} == before


@pytest.mark.fault("weights", tried="weights and checkpoints of other arguments in the same place",
                   survived="refused by the argument that differs; the file stays")
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
    checkpoint = load_tensors(out.with_suffix(".checkpoint"))[0]
    assert all(torch.equal(checkpoint[k], v) for k, v in load_tensors(paths[-1])[0].items())


@pytest.mark.parametrize("cooldown", [0, 6])
def test_a_longer_training_branches_off_a_checkpoint_bit_for_bit(decoded, tmp_path, cooldown):
    """Averaged weights and a cooldown included: as if it had been trained in one piece."""
    trunk = go(short(samples=18, average=0.4), decoded, tmp_path / "trunk.safetensors", keep_checkpoint=True)
    args = short(samples=24, average=0.4, cooldown=cooldown)
    for suffix in (".checkpoint", ".jsonl"):
        shutil.copy(trunk.with_suffix(suffix), tmp_path / f"branch{suffix}")
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
    class Other:
        labels, digest, description, batch = decoded.labels, "other", "other", decoded.batch

    out = tmp_path / "w.safetensors"
    path = go(short(), decoded, out, stop_after=None if finished else 1)
    with pytest.raises(LsegreproError) as error:
        go(short(), Other(), out)
    one_line(error, path, "another data digest")


def test_other_start_and_hard_negatives_are_refused(decoded, tmp_path, hard):
    paths = [go(short(samples=2, seed=s), decoded, tmp_path / f"{s}.safetensors") for s in (0, 1)]
    a, b = map(load_weights, paths)
    args, out = short(round=2, samples=4), tmp_path / "w.safetensors"
    go(args, decoded, out, start=a, hard=hard, stop_after=1)
    other = dataclasses.replace(hard, digest="other")
    for start, negatives, what in ((b, hard, "start sha256"), (a, other, "hard digest")):
        with pytest.raises(LsegreproError) as error:
            go(args, decoded, out, start=start, hard=negatives)
        one_line(error, "w.checkpoint", what)


def test_rounds_get_what_they_need_and_nothing_else(decoded, tmp_path, hard):
    start = load_weights(go(short(samples=2), decoded, tmp_path / "first.safetensors"))
    for round, more in ((1, {"start": start}), (1, {"hard": hard}), (1, {"start": start, "hard": hard}),
                        (2, {}), (2, {"start": start}), (2, {"hard": hard})):
        with pytest.raises(LsegreproError) as error:
            go(short(round=round), decoded, tmp_path / "w.safetensors", **more)
        one_line(error, "round 2 needs the weights of round 1 and hard negatives")
    assert not (tmp_path / "w.jsonl").exists()


@pytest.mark.fault("weights", tried="a checkpoint that is cut, empty, text or of another program",
                   survived="one line that names it; nothing is trained")
@pytest.mark.parametrize("kind", ["truncated", "empty", "text", "foreign"])
def test_a_damaged_checkpoint_is_refused(decoded, tmp_path, kind):
    out = tmp_path / "w.safetensors"
    checkpoint = go(short(), decoded, out, stop_after=2)
    if kind == "foreign":
        from lsegrepro.network.weights import save_tensors

        save_tensors(checkpoint, {"a": torch.zeros(2)}, {"step": "1"})
    else:
        whole = checkpoint.read_bytes()
        checkpoint.write_bytes({"truncated": whole[: len(whole) // 2], "empty": b"", "text": b"hello"}[kind])
    with pytest.raises(LsegreproError) as error:
        go(short(), decoded, out)
    one_line(error, checkpoint)


@pytest.mark.fault("processes", tried="two trainings of one network in one run folder",
                   survived="the second is told who is at it, and finds the result later")
def test_two_trainings_in_one_place(decoded, tmp_path, monkeypatch):
    """The second is refused while the first goes on, and finds its result afterwards."""
    out, messages = tmp_path / "w.safetensors", []

    def meanwhile(*given, **named):
        for step, batch in enumerate(batches.batches(*given, **named)):
            if step == 5:
                with pytest.raises(LsegreproError) as error:
                    go(short(), decoded, out)
                messages.append(one_line(error, out, "is being made by", f"process {os.getpid()} on"))
            yield batch

    with monkeypatch.context() as patch:
        patch.setattr(loop, "batches", meanwhile)
        go(short(), decoded, out)
    assert len(messages) == 1
    same_result(go(short(), decoded, tmp_path / "whole.safetensors"), go(short(), decoded, out))


@pytest.mark.fault("disk", tried="a run folder deleted under a running training",
                   survived="the training ends with the same weights in a folder made anew")
def test_a_folder_deleted_under_a_training(decoded, tmp_path, monkeypatch):
    out = tmp_path / "run" / "weights" / "w.safetensors"

    def meanwhile(*given, **named):
        for step, batch in enumerate(batches.batches(*given, **named)):
            if step == 5:
                shutil.rmtree(tmp_path / "run")
            yield batch

    with monkeypatch.context() as patch:
        patch.setattr(loop, "batches", meanwhile)
        patch.setattr(loop, "CHECKPOINT_SECONDS", -1)
        go(short(), decoded, out)
    same_result(go(short(), decoded, tmp_path / "whole.safetensors"), out)
    assert sorted(path.name for path in out.parent.iterdir()) == ["w.json", "w.jsonl", "w.safetensors"]


@pytest.mark.parametrize("jump", [1e9, -1e9])
@pytest.mark.fault("processes", tried="a clock that jumps by thirty years, forward and back, in a training",
                   survived="the same weights")
def test_a_clock_that_jumps(decoded, tmp_path, monkeypatch, jump):
    whole = go(short(), decoded, tmp_path / "whole.safetensors")
    clock, calls = time.monotonic, iter(range(10**6))
    with monkeypatch.context() as patch:
        patch.setattr(loop.time, "monotonic", lambda: clock() + jump * (next(calls) % 3))
        patch.setattr(loop.time, "time", lambda: jump)
        out = go(short(), decoded, tmp_path / "w.safetensors")
    same_result(whole, out)


@pytest.mark.fault("numbers", tried="a loss that is not finite",
                   survived="training stops, names the steps and the last good checkpoint")
@pytest.mark.parametrize("kept", [False, True])
def test_a_loss_that_is_no_number_stops(decoded, tmp_path, monkeypatch, kept):
    out = tmp_path / "w.safetensors"
    if kept:
        go(short(), decoded, out, stop_after=4)
    before = out.with_suffix(".checkpoint").read_bytes() if kept else None

    def broken(args, data, hard, first, share):
        for step, (x, target) in enumerate(batches.batches(args, data, hard, first, share=share), first):
            yield x * (float("nan") if step == 7 else 1), target

    monkeypatch.setattr(loop, "batches", broken)
    with pytest.raises(LsegreproError) as error:
        go(short(), decoded, out)
    one_line(error, "LSE1 cat round 1", "nan", "between steps 7 and 9", "smaller rate than 0.02",
             out.with_suffix(".checkpoint") if kept else "nothing was kept")
    assert not out.exists() and not out.with_suffix(".json").exists()
    if kept:
        assert out.with_suffix(".checkpoint").read_bytes() == before


@pytest.mark.fault("numbers", tried="weights that are no longer finite after a step on a finite loss",
                   survived="they never reach a checkpoint, wherever a stop comes")
@pytest.mark.parametrize("what, stop", [("loss", 8), ("weights", 8), ("weights", 9), ("weights", None)])
def test_a_checkpoint_of_a_training_gone_bad_is_never_written(decoded, tmp_path, monkeypatch, what, stop):
    """Not even where a stop comes between the bad step and the next row of the curve."""
    out = tmp_path / "w.safetensors"
    checkpoint = go(short(), decoded, out, stop_after=4)
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    update, monkey = loop.update, iter(range(4, 12))

    def broken(net, *given):
        loss = update(net, *given)
        if next(monkey) == (7 if stop else 11):  # the 8th step, or the last
            if what == "loss":
                return loss * float("nan")
            with torch.no_grad():
                net.full5.bias[0] = float("inf")
            return loss * 0  # a loss is that of the weights before the step
        return loss

    monkeypatch.setattr(loop, "update", broken)
    if what == "weights" and stop == 9:  # the step after
        monkeypatch.setattr(loop, "LOG_EVERY", 24)
    with pytest.raises(LsegreproError) as error:
        go(short(), decoded, out, stop_after=stop and stop - 4)
    one_line(error, f"the {what} of LSE1 cat round 1", "step", f"the last good checkpoint is {checkpoint}")
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


FULL = """
import sys
sys.path[:0] = sys.argv[2:]
from conftest import SyntheticWeak
from lsegrepro import LsegreproError, paper
from lsegrepro.config import Training
from lsegrepro.network import weights
from lsegrepro.training import loop as training
from lsegrepro.training.batches import Decoded
from pathlib import Path
paper.ARCHITECTURES["tiny"] = paper.Architecture("tiny", (4, 6, 8, 10), (8, 3, 5), (4, 4), 95, 9, 0)
training.LOG_EVERY = 6
args, data = Training(architecture="tiny", samples=24, batch=2, rate=0.02), Decoded(SyntheticWeak(), progress=False)
out = Path(sys.argv[1])
checkpoint = training.train(args, data, out, progress=False, stop_after=4)
kept = checkpoint.read_bytes()
filler = out.with_name("filler")
with open(filler, "wb", buffering=0) as file:
    try:
        while True:
            file.write(bytes(512))
    except OSError:
        pass
try:
    training.train(args, data, out, progress=False)
except LsegreproError as error:
    print(error)
assert checkpoint.read_bytes() == kept and not out.exists()
assert sorted(path.name for path in out.parent.iterdir()) == ["filler", "w.checkpoint", "w.jsonl"]
filler.unlink()
assert training.train(args, data, out, progress=False) == out
print(weights.load_tensors(out)[0]["full5.bias"].tolist())
"""


@pytest.mark.fault("disk", tried="a real disk of 64 KiB that fills during training",
                   survived="the last checkpoint is whole; with room again it goes on")
def test_a_disk_that_is_full_loses_nothing(decoded, tmp_path):
    """A real one, of 64 KiB, in a namespace of its own; with room again the training goes on."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = f"mount -t tmpfs -o size=64k none '{disk}'"
    if subprocess.run(["unshare", "-rm", "sh", "-c", mount], capture_output=True).returncode:
        pytest.skip("this machine lets nobody mount a small disk")
    command = [sys.executable, "-B", "-c", FULL, disk / "w.safetensors", ROOT, ROOT / "tests"]
    done = subprocess.run(["unshare", "-rm", "sh", "-c", f'{mount} && exec "$@"', "sh", *command], text=True,
                          capture_output=True, env=os.environ | {"OMP_NUM_THREADS": str(torch.get_num_threads())})
    assert done.returncode == 0, done.stderr
    said, bias = done.stdout.splitlines()
    assert f"cannot write {disk}/w." in said and "No space left on device" in said
    whole = go(short(), decoded, tmp_path / "w.safetensors")
    assert bias == str(load_tensors(whole)[0]["full5.bias"].tolist())


@pytest.mark.fault("disk", tried="ENOSPC, EDQUOT and EIO at each file a training writes",
                   survived="one line; the last checkpoint is whole; the same call goes on")
@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EIO])
@pytest.mark.parametrize("suffix", [".jsonl", ".checkpoint", ".safetensors", ".json"])
def test_a_write_that_fails_keeps_the_last_checkpoint(decoded, tmp_path, monkeypatch, suffix, code):
    """Whichever of the files it is; the same call goes on from there."""
    out = tmp_path / "w.safetensors"
    checkpoint = go(short(), decoded, out, stop_after=4)
    before = checkpoint.read_bytes()
    replace = os.replace

    def full(source, target):
        if str(target).endswith(suffix):
            raise OSError(code, os.strerror(code))
        replace(source, target)

    with monkeypatch.context() as patch, pytest.raises(LsegreproError) as error:
        patch.setattr(os, "replace", full)
        go(short(), decoded, out)
    one_line(error, f"cannot write {out.with_suffix(suffix)}: {os.strerror(code)}")
    assert not out.exists() and (checkpoint.read_bytes() == before) == (suffix in (".jsonl", ".checkpoint"))
    same_result(go(short(), decoded, tmp_path / "whole" / "w.safetensors"), go(short(), decoded, out))


@pytest.mark.fault("numbers", tried="a rate that is far too high", survived="a bounded loss, never NaN")
def test_a_rate_that_is_far_too_high_saturates(decoded, tmp_path):
    """Scores are bounded, so a loss that has run away is a finite number: at most 2.127."""
    out = go(short(rate=99), decoded, tmp_path / "w.safetensors")
    assert all(0.12 < row["loss"] < 2.1270 for row in curve(out))


@pytest.mark.fault("disk", tried="a run folder mounted for reading only",
                   survived="a finished training is found, another is refused before work")
def test_a_disk_for_reading_only(decoded, tmp_path):
    """A finished training is found there; another is refused before any work."""
    for name in ("done", "begun"):
        go(short(), decoded, tmp_path / f"{name}.safetensors", stop_after=4 if name == "begun" else None)
    script = KILLED.split("out, kills")[0] + """
from lsegrepro import LsegreproError
args = Training(architecture="tiny", samples=24, batch=2, rate=0.02)
data = Decoded(SyntheticWeak(), progress=False)
for name in ("done", "begun"):
    try:
        print(training.train(args, data, Path(sys.argv[1]) / f"{name}.safetensors", progress=False))
    except LsegreproError as error:
        print(error)
"""
    mount = f"mount --bind '{tmp_path}' '{tmp_path}' && mount -o remount,bind,ro '{tmp_path}'"
    if subprocess.run(["unshare", "-rm", "sh", "-c", mount], capture_output=True).returncode:
        pytest.skip("this machine lets nobody mount a folder for reading only")
    done = subprocess.run(["unshare", "-rm", "sh", "-c", f'{mount} && exec "$@"', "sh", sys.executable, "-B", "-c",
                           script, tmp_path, "", ROOT, ROOT / "tests"], text=True, capture_output=True)
    finished, refused = done.stdout.splitlines()
    assert finished == str(tmp_path / "done.safetensors")
    assert refused == (f"cannot write {tmp_path / 'begun.safetensors'}: Read-only file system; "
                       "choose a folder that can be written")


@pytest.mark.fault("disk", tried="a run folder that is a file", survived="one line that names it")
def test_a_place_that_cannot_be_written_is_named(decoded, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(LsegreproError) as error:
        go(short(samples=2), decoded, tmp_path / "file" / "w.safetensors")
    one_line(error, tmp_path / "file", "cannot write")
    with pytest.raises(LsegreproError) as error:
        go(short(), decoded, tmp_path / "w.pt")
    one_line(error, "w.pt", ".safetensors")


# Arguments


@pytest.mark.parametrize("values", [
    {"model": "LSE3"}, {"cls": "cow"}, {"samples": 0}, {"batch": 0}, {"batch": 65_537}, {"rate": 0},
    {"rate": -1}, {"rate": float("nan")}, {"rate": 100}, {"momentum": 1}, {"momentum": -0.1}, {"seed": -1},
    {"seed": 2**63}, {"architecture": "VGG"}, {"initialisation": "he"}, {"negatives": "all"},
    {"precision": "float16"}, {"round": 3}, {"hard": 1.1}, {"hard": float("nan")},
])
def test_arguments_are_checked(values):
    (name, value), = values.items()
    with pytest.raises(LsegreproError) as error:
        Training(**values)
    one_line(error, f"training.{name} must be", repr(value))


def test_an_unknown_aggregation_is_refused_before_any_work():
    with pytest.raises(LsegreproError) as error:
        Training(aggregation="median")
    one_line(error, "median")


def test_arguments_name_the_network():
    assert Training(model="max2").net is paper.ARCHITECTURES["LSE2"]
    assert Training(model="LSE2", architecture="LSE2-40-80").net.parameters == 712_762
    assert [Training(model=m).aggregation_name for m in paper.MODELS] == ["max", "lse", "max", "lse"]
    assert Training(aggregation="mean").aggregation_name == "mean"
    assert [Training(samples=s, batch=16).steps for s in (1, 16, 17, 32)] == [1, 1, 2, 2]
    assert Training().rate == 0.001 and Training().momentum == 0
    with pytest.raises(dataclasses.FrozenInstanceError):
        Training().rate = 1


def test_mining_and_scoring_arguments_are_checked():
    for make, name, value in ((arguments.Mining, "theta", 1), (arguments.Mining, "theta", -0.1),
                              (arguments.Mining, "per_image", 0), (arguments.Scoring, "scale_to", 7),
                              (arguments.Scoring, "precision", "half")):
        with pytest.raises(LsegreproError) as error:
            make(**{name: value})
        one_line(error, name, value)
