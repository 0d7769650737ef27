"""Training: one step by hand, and interruptions of every kind that leave no trace."""

import dataclasses
import json
import os
import random
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import torch
from conftest import ROOT, one_line

from lsegrepro import LsegreproError, arguments, model, paper, sampling, training
from lsegrepro.arguments import NO_JITTER, Jitter, Training
from lsegrepro.weights import load_tensors, load_weights


@pytest.fixture(autouse=True)
def often(tiny, monkeypatch):
    """A row every 3 steps of two images, an evaluation every 6."""
    monkeypatch.setattr(training, "LOG_EVERY", 6)
    monkeypatch.setattr(training, "EVALUATE_EVERY", 12)


@pytest.fixture
def hard(rng):
    images = rng.integers(0, 256, (2, 300, 300, 3)).astype(np.uint8)
    return sampling.HardNegatives(images, rng.integers(0, 2, 9), rng.integers(0, 300, (9, 2)), "hard")


def short(**changes):
    """A training of twelve steps of two images."""
    return Training(**{"architecture": "tiny", "samples": 24, "batch": 2, "rate": 0.02} | changes)


def go(args, decoded, out, **more):
    return training.train(args, decoded, out, progress=False, **more)


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
    x, target = sampling.batch_patches(args, step, decoded)
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
    x, target = sampling.batch_patches(args, 0, decoded)
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


def test_bfloat16_keeps_weights_in_float32(decoded, tmp_path):
    exact = go(short(), decoded, tmp_path / "a.safetensors")
    fast = go(short(precision="bfloat16"), decoded, tmp_path / "b.safetensors")
    a, b = (load_tensors(path)[0] for path in (exact, fast))
    assert all(b[k].dtype == torch.float32 for k in b) and any((a[k] != b[k]).any() for k in a)
    assert all((a[k] - b[k]).abs().max() < 0.02 for k in a)


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
    assert found["arguments"] == json.loads(json.dumps(dataclasses.asdict(short())))
    assert found["data_digest"] == decoded.digest and found["data"] == decoded.description
    assert found["start_sha256"] is None and found["hard_digest"] is None
    assert (found["samples"], found["final"]) == (24, rows[-1])
    assert 0 <= found["hours"] < 1 and found["device"]
    assert found["versions"]["torch"] == torch.__version__
    assert {"python", "numpy", "lsegrepro"} <= set(found["versions"])


def test_samples_are_rounded_up_to_whole_batches(decoded, tmp_path):
    out = go(short(samples=5), decoded, tmp_path / "w.safetensors")
    assert load_weights(out).card["samples"] == 6 and curve(out)[-1]["samples"] == 6


def test_heldout_images_never_change_the_weights(decoded, tmp_path):
    a = go(short(), decoded, tmp_path / "a.safetensors", heldout=decoded)
    b = go(short(), decoded, tmp_path / "b.safetensors")
    assert a.read_bytes() == b.read_bytes()


def test_heldout_row_is_loss_and_balanced_accuracy(decoded, tiny_net):
    for negatives, others in (("others", range(4, 12)), ("background", range(8, 12))):
        found = training.evaluate_weak(tiny_net, decoded, short(negatives=negatives))
        index = np.array([*range(4), *others])
        f = training.weak_scores(tiny_net, decoded.batch(index), "lse").double()
        nll = f.exp().sum(1).log() - torch.where(torch.arange(len(index)) < 4, f[:, 0], f[:, 1])
        right = (f[:, 0] >= f[:, 1]).numpy() == (np.arange(len(index)) < 4)
        assert found["heldout_loss"] == pytest.approx(nll.mean().item(), abs=1e-6)
        assert found["heldout_accuracy"] == pytest.approx((right[:4].mean() + right[4:].mean()) / 2)


def test_seeds_differ(decoded, tmp_path):
    paths = [go(short(samples=2, seed=s), decoded, tmp_path / f"{s}.safetensors") for s in (0, 1)]
    assert paths[0].read_bytes() != paths[1].read_bytes()


# Interruptions


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


def test_a_checkpoint_older_than_the_curve(decoded, tmp_path):
    """Killed between the two writes: the rows beyond the checkpoint are made again, not doubled."""
    whole = go(short(), decoded, tmp_path / "whole.safetensors")
    out = tmp_path / "w.safetensors"
    old = go(short(), decoded, out, stop_after=4).read_bytes()
    go(short(), decoded, out, stop_after=5)
    out.with_suffix(".checkpoint").write_bytes(old)
    same_result(whole, go(short(), decoded, out))


def test_killed_between_the_last_step_and_the_weights(decoded, tmp_path, monkeypatch):
    whole = go(short(), decoded, tmp_path / "whole.safetensors")
    out = tmp_path / "w.safetensors"

    def killed(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(training, "save_weights", killed)
        go(short(), decoded, out)
    assert not out.exists()
    same_result(whole, go(short(), decoded, out))


KILLED = """
import sys
sys.path[:0] = sys.argv[2:]
from conftest import SyntheticWeak
from lsegrepro import paper, training
from lsegrepro.arguments import Training
from lsegrepro.sampling import Decoded
paper.ARCHITECTURES["tiny"] = paper.Architecture("tiny", (4, 6, 8, 10), (8, 3, 5), (4, 4), 95, 9, 0)
training.LOG_EVERY, training.CHECKPOINT_SECONDS = 4, -1
args = Training(architecture="tiny", samples=2000, batch=2, rate=0.001, momentum=0.9)
training.train(args, Decoded(SyntheticWeak(), progress=False), sys.argv[1], progress=False)
"""


def test_a_killed_training_goes_on(decoded, tmp_path, monkeypatch):
    """SIGKILL at a random moment, some of them in the middle of a write."""
    out = tmp_path / "killed.safetensors"
    process = subprocess.Popen([sys.executable, "-B", "-c", KILLED, out, ROOT, ROOT / "tests"],
                               env=os.environ | {"OMP_NUM_THREADS": str(torch.get_num_threads())})
    try:
        give_up = time.monotonic() + 300
        while not out.with_suffix(".checkpoint").is_file():
            assert process.poll() is None and time.monotonic() < give_up
            time.sleep(0.01)
        time.sleep(random.uniform(0, 0.3))
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert not out.exists(), "the training ended before it was killed"
    step = int(load_tensors(out.with_suffix(".checkpoint"))[1]["step"])
    monkeypatch.setattr(training, "LOG_EVERY", 4)
    args = Training(architecture="tiny", samples=2000, batch=2, rate=0.001, momentum=0.9)
    more = step + 6  # far enough beyond the checkpoint to tell; the whole budget would only take longer
    go(args, decoded, out, stop_after=more - step)
    whole = tmp_path / "whole.safetensors"
    go(args, decoded, whole, stop_after=more)
    a, b = (load_tensors(path.with_suffix(".checkpoint")) for path in (out, whole))
    assert a[1].pop("seconds") and b[1].pop("seconds") and a[1] == b[1]
    assert a[0].keys() == b[0].keys() and all(torch.equal(a[0][k], b[0][k]) for k in a[0])
    assert curve(out) == curve(whole)


# Refusals


def test_a_finished_training_is_found(decoded, tmp_path, monkeypatch):
    out = go(short(), decoded, tmp_path / "w.safetensors")
    before = {p: (p.stat().st_mtime_ns, p.read_bytes()) for p in tmp_path.iterdir()}
    monkeypatch.setattr(training, "batch_patches", lambda *_: pytest.fail("it trained again"))
    assert go(short(), decoded, out) == out
    assert {p: (p.stat().st_mtime_ns, p.read_bytes()) for p in tmp_path.iterdir()} == before


@pytest.mark.parametrize("finished", [False, True])
@pytest.mark.parametrize("values, parts", [
    ({"rate": 0.01}, ("rate = 0.02", "asked for 0.01")),
    ({"samples": 26}, ("samples = 24", "asked for 26")),
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


@pytest.mark.parametrize("kind", ["truncated", "empty", "text", "foreign"])
def test_a_damaged_checkpoint_is_refused(decoded, tmp_path, kind):
    out = tmp_path / "w.safetensors"
    checkpoint = go(short(), decoded, out, stop_after=2)
    if kind == "foreign":
        from lsegrepro.weights import save_tensors

        save_tensors(checkpoint, {"a": torch.zeros(2)}, {"step": "1"})
    else:
        whole = checkpoint.read_bytes()
        checkpoint.write_bytes({"truncated": whole[: len(whole) // 2], "empty": b"", "text": b"hello"}[kind])
    with pytest.raises(LsegreproError) as error:
        go(short(), decoded, out)
    one_line(error, checkpoint)


@pytest.mark.parametrize("kept", [False, True])
def test_a_loss_that_is_no_number_stops(decoded, tmp_path, monkeypatch, kept):
    out = tmp_path / "w.safetensors"
    if kept:
        go(short(), decoded, out, stop_after=4)
    before = out.with_suffix(".checkpoint").read_bytes() if kept else None

    def broken(args, step, data, hard=None):
        x, target = sampling.batch_patches(args, step, data, hard)
        return x * (float("nan") if step == 7 else 1), target

    monkeypatch.setattr(training, "batch_patches", broken)
    with pytest.raises(LsegreproError) as error:
        go(short(), decoded, out)
    one_line(error, "LSE1 cat round 1", "nan", "before step 9", "smaller rate than 0.02",
             out.with_suffix(".checkpoint") if kept else "nothing was kept")
    assert not out.exists() and not out.with_suffix(".json").exists()
    if kept:
        assert out.with_suffix(".checkpoint").read_bytes() == before


def test_a_rate_that_is_far_too_high_saturates(decoded, tmp_path):
    """Scores are bounded, so a loss that has run away is a finite number: at most 2.127."""
    out = go(short(rate=99), decoded, tmp_path / "w.safetensors")
    assert all(0.12 < row["loss"] < 2.1270 for row in curve(out))


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
