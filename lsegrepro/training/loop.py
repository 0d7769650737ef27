"""Training from image labels alone: plain SGD on the aggregated scores of N patches (Section 3.2).

Every random draw of step t is a function of (seed, round, t), so a training that
was interrupted goes on exactly as if it had not been.

What is the same when a training is repeated:

- On CPUs of one kind, with the same versions and number of threads: every bit of the weights.
- On a GPU: every draw. The arithmetic takes cuDNN's deterministic algorithms (`arithmetic`); the
  rest of a step has no sums whose order is left to chance, for the pools do not overlap. So the same
  GPU and versions should give the same bits, which is not promised: cuDNN and cuBLAS say so of most,
  not of all of their kernels. Another kind of GPU, or a CPU, gives close weights. So does another
  number of processes, which takes the same sums in another order.
"""

from __future__ import annotations

import copy
import json
import platform
import time
from contextlib import AbstractContextManager, closing, nullcontext
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from .. import __version__, paper
from ..config import Training
from ..data.index import LABELS
from ..files import LsegreproError, atomic, locked, read_json, read_jsonl
from ..network import model
from ..network.classify import autocast, has_bfloat16, weak_scores
from ..network.weights import Weights, card_path, save_weights
from .batches import Decoded, HardNegatives, batches, torch_generator
from .checkpoints import State, require_same
from .distributed import Team, join
from .heap import keep_freed_memory

LOG_EVERY = 2_000
"""Samples between two rows of the curve."""

EVALUATE_EVERY = 10_000
"""Samples between two evaluations on held-out weak labels."""

CHECKPOINT_SECONDS = 60
"""Time between two checkpoints."""

TF32 = True
"""Whether convolutions in float32 may use the tensor cores of a GPU, which round factors to TF32 (10 bits of
mantissa) and add in float32. On a CPU float32 is float32."""


def train(
    args: Training,
    data: Decoded,
    out: str | Path,
    *,
    heldout: Decoded | None = None,
    start: Weights | None = None,
    hard: HardNegatives | None = None,
    device: str | torch.device = "cpu",
    progress: bool = True,
    stop_after: int | None = None,
    keep_checkpoint: bool = False,
) -> Path:
    """Train one network, or go on with it, or find it finished.

    Writes ``out`` (safetensors), its card (``.json``) and its curve (``.jsonl``); while
    training also ``.checkpoint``, from which an interrupted training goes on. In several processes
    (``torchrun``), each takes its share of every batch, and the first of them writes.

    Parameters
    ----------
    args : Training
    data : Decoded
        Training images, on `device`.
    out : path
        The weights file, ending in ``.safetensors``.
    heldout : Decoded, optional
        Images for the held-out rows of the curve; they never influence the weights.
    start : Weights, optional
        Where the training starts; round 2 needs those of round 1.
    hard : HardNegatives, optional
        Needed by round 2.
    stop_after : int, optional
        Stop (resumably) after this many steps of this call; for tests and time slices.
    keep_checkpoint : bool
        Leave the checkpoint of the end beside the weights, for a longer training to go on from.

    Returns
    -------
    Path
        `out` if finished, else the checkpoint.

    Raises
    ------
    LsegreproError
        If a finished training or a checkpoint in that place has other arguments, if another process
        trains it, if the loss is no longer finite, or if nothing can be written.
    """
    out, device = Path(out), torch.device(device)
    if out.suffix != ".safetensors":
        raise LsegreproError(f"weights are written to a .safetensors file, not {out}")
    if (args.round == 2) != (hard is not None) or (args.round == 2 and start is None):
        raise LsegreproError("round 2 needs the weights of round 1 and hard negatives; round 1 takes no hard negatives")
    identity = identify(args, data, start, hard)
    if _finished(out, identity):
        return out
    team = join(device, args.batch)
    with locked(out) if team.first else nullcontext(), arithmetic(device):
        team.wait()  # for the lock
        if _finished(out, identity):  # by the process that held it until now
            return out
        net = model.PatchNet(args.net, initialisation=args.initialisation, generator=torch_generator(args.seed),
                             output=args.output)
        if start is not None:
            net.load_state_dict(start.net.state_dict())
        net.to(device, memory_format=torch.channels_last)
        if device.type == "cpu":
            keep_freed_memory()
        state = State(net, sgd(net, args), torch.zeros((), device=device), copy.deepcopy(net) if args.average else None)
        state.restore(_checkpoint(out), identity)
        team.agree(state.step, device)
        done = _go_on(args, data, out, state, identity, team, heldout, hard, progress, stop_after)
        if team.first and done == out and not keep_checkpoint:
            _checkpoint(out).unlink(missing_ok=True)
        team.wait()  # for what the first writes
        return done


def _go_on(
    args: Training, data: Decoded, out: Path, state: State, identity: dict, team: Team, heldout: Decoded | None,
    hard: HardNegatives | None, progress: bool, stop_after: int | None,
) -> Path:
    """The loop of `train`, from `state` to the end or to a stop."""
    net, checkpoint, curve = state.net, _checkpoint(out), _curve(out)
    rows = read_jsonl(curve) if state.step and curve.is_file() else []
    rows = [row for row in rows if isinstance(row.get("step"), int) and row["step"] <= state.step]
    if state.since and (not rows or rows[-1]["step"] < state.since):
        raise LsegreproError(f"{curve} is absent or cut short, and {checkpoint} goes on from it: delete both and run "
                             "again")
    label = f"{args.model} {args.cls} round {args.round}"

    def save_curve() -> None:
        if team.first:
            with atomic(curve) as temporary:
                temporary.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")

    def diverged(what: str) -> LsegreproError:
        kept = f"the last good checkpoint is {checkpoint}" if checkpoint.is_file() else "nothing was kept"
        return LsegreproError(f"{what}; {kept}; use a smaller rate than {args.rate}")

    def check_loss(mean: float) -> None:
        if not np.isfinite(mean):
            raise diverged(f"the loss of {label} is {mean} between steps {state.since + 1} and {state.step}")

    def save() -> None:
        # A step on a finite loss may still leave weights that are not; they never reach a checkpoint.
        if not all(parameter.isfinite().all() for parameter in net.parameters()):
            raise diverged(f"the weights of {label} are no longer finite after step {state.step}")
        save_curve()  # first: a checkpoint is never ahead of its curve
        if team.first:
            state.save(checkpoint, identity, seconds=state.seconds + time.monotonic() - begun)

    save_curve()  # a folder that cannot be written to is found out now
    joint = team.share_out(net)
    begun = saved = logged = time.monotonic()
    first = state.step
    log_steps = max(1, LOG_EVERY // args.batch)
    evaluate_steps = max(1, EVALUATE_EVERY // args.batch)
    stream = batches(args, data, hard, first, share=team.share)
    with tqdm(total=args.steps * args.batch, initial=first * args.batch, desc=label, unit="image",
              disable=not (progress and team.first), mininterval=1) as bar, closing(stream):
        for x, target in stream:  # (B*N, 3, sz, sz), (B,)
            state.running += update(joint, state.optimiser, x, target, args, state.step)
            state.step += 1
            state.update_average(args.average)
            step = state.step
            bar.update(args.batch)
            if step % log_steps == 0 or step == args.steps:
                # The only point that waits for the device.
                mean = team.mean(state.running).item() / (step - state.since)
                check_loss(mean)
                now = time.monotonic()
                row = {"step": step, "samples": step * args.batch, "loss": mean,
                       "images_per_second": (step - max(state.since, first)) * args.batch / max(now - logged, 1e-9)}
                if heldout is not None and (step % evaluate_steps < log_steps or step == args.steps) and team.first:
                    row |= evaluate_weak(state.network, heldout, args)
                rows.append(row)
                state.running.zero_()
                state.since, logged = step, time.monotonic()
                bar.set_postfix(loss=f"{mean:.3f}")
                if logged - saved > CHECKPOINT_SECONDS:
                    save()
                    saved = time.monotonic()
            if stop_after is not None and step - first >= stop_after and step < args.steps:
                state.running = team.mean(state.running)
                check_loss(state.running.item())
                save()
                return checkpoint
    save()
    if team.first:
        device = device_name(state.running.device, args.precision)
        unreadable = data.unreadable | (heldout.unreadable if heldout is not None else {})
        save_weights(out, state.network, {
            **identity,
            "data": data.description,
            **({"unreadable": dict(sorted(unreadable.items()))} if unreadable else {}),
            "samples": state.step * args.batch,
            "hours": round((state.seconds + time.monotonic() - begun) / 3600, 4),
            "device": device if team.share.size == 1 else f"{team.share.size} processes, each on {device}",
            "tf32": TF32 and state.running.is_cuda and args.precision == "float32",
            "versions": versions(),
            "final": rows[-1],
        })
    return out


def _checkpoint(out: Path) -> Path:
    return out.with_suffix(".checkpoint")


def _curve(out: Path) -> Path:
    return out.with_suffix(".jsonl")


def _finished(out: Path, identity: dict) -> bool:
    """Whether the training is finished. Raises `LsegreproError` if another one is in its place."""
    if not out.is_file():
        return False
    require_same(identity, read_json(card_path(out)), out)
    return True


def arithmetic(device: torch.device) -> AbstractContextManager:
    """What cuDNN may do inside: deterministic algorithms without a trial of each, and `TF32`."""
    if device.type != "cuda":
        return nullcontext()
    return torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=TF32)


def sgd(net: model.PatchNet, args: Training) -> torch.optim.SGD:
    """The optimiser: plain SGD, unless the arguments name a momentum; `update` sets the rate of each step."""
    # One step on the mean loss of a batch at rate * batch moves as far as `batch` steps at rate.
    return torch.optim.SGD(net.parameters(), lr=args.rate * args.batch, momentum=args.momentum)


def update(
    net: torch.nn.Module, optimiser: torch.optim.SGD, x: torch.Tensor, target: torch.Tensor, args: Training,
    step: int = 0,
) -> torch.Tensor:
    """One step of SGD on a batch of `sampling.batch_patches`: equation (4) and its gradient.

    Parameters
    ----------
    net : Module
        The network, or what `distributed.Team.share_out` makes of it; then the step is that of all shares.
    x : Tensor
        (B*N, 3, sz, sz) float32, the patches.
    target : Tensor
        (B,) int64: 0 class, 1 not.
    step : int
        Which step it is, counted from 0: the rate may depend on it.

    Returns
    -------
    Tensor
        The mean loss of the batch before the step, a scalar on the device.
    """
    for group in optimiser.param_groups:
        group["lr"] = args.rate_at(step) * args.batch
    with autocast(x.device, args.precision):
        scores = net(x)  # (B*N, 2)
    loss = model.loss(model.aggregation(args.aggregation_name)(scores.float().view(len(target), -1, 2)), target)
    optimiser.zero_grad(set_to_none=True)
    loss.backward()
    optimiser.step()
    return loss.detach()


def evaluate_weak(net: model.PatchNet, heldout: Decoded, args: Training, limit: int = 512) -> dict[str, float]:
    """How well a network tells held-out images, at most `limit` of each label.

    Returns
    -------
    dict
        ``heldout_loss`` and ``heldout_accuracy`` (balanced) under the draw of the training; ``heldout_auc_background``
        and ``heldout_auc_other``, the chance that an image of the class has a higher score than one of the background
        or of the other class.
    """
    sides = heldout.sides(args.cls, args.negatives)
    other = heldout.codes[sides.absent] != LABELS.index("background")
    groups = [sides.present, sides.absent[other], sides.absent[~other]]
    share = paper.other_class_share(args.cls) if args.negatives == "paper" else other.mean()
    loss, right, margins = [], [], []
    for group, present in zip(groups, (True, False, False), strict=True):
        some = group[np.linspace(0, len(group) - 1, min(limit, len(group))).astype(int)]  # of every source
        scores = (weak_scores(net, heldout.batch(some), args.aggregation_name, precision=args.precision)
                  if len(some) else torch.zeros(0, 2)).cpu()
        target = torch.full((len(some),), int(not present))
        margins.append((scores[:, 0] - scores[:, 1]).double().numpy())
        loss.append(model.loss(scores, target).item() if len(some) else 0.0)
        right.append((scores.argmax(1) == target).double().mean().item() if len(some) else 0.0)
    weights = np.array([1, share, 1 - share]) / 2
    row = {"heldout_loss": float(weights @ loss), "heldout_accuracy": float(weights @ right)}
    for name, negative in (("other", margins[1]), ("background", margins[2])):
        if len(negative):
            row[f"heldout_auc_{name}"] = auc(margins[0], negative)
    return row


def auc(positive: np.ndarray, negative: np.ndarray) -> float:
    """Area under the ROC curve: the chance that a positive's score is the higher; equal ones count half.

    >>> auc(np.array([0.9, 0.5]), np.array([0.5, 0.1]))
    0.875
    """
    return float((np.sign(positive[:, None] - negative).mean() + 1) / 2)


def identify(args: Training, data: Decoded, start: Weights | None, hard: HardNegatives | None) -> dict:
    """What makes two trainings the same: arguments, data, and what round 2 starts from."""
    return {
        "arguments": args.record(),
        "data_digest": data.digest,
        "start_sha256": start.sha256 if start else None,
        "hard_digest": hard.digest if hard else None,
    }


def versions() -> dict[str, str]:
    """Versions that a result depends on."""
    return {
        "lsegrepro": __version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": np.__version__,
    }


def device_name(device: torch.device, precision: str = "float32") -> str:
    """The device in words, as a card names it, and whether it had to do without the precision asked for."""
    threads = torch.get_num_threads()
    name = (torch.cuda.get_device_name(device) if device.type == "cuda"
            else f"{threads} CPU thread{'s' * (threads > 1)}, {platform.machine()}")
    return name if precision == "float32" or has_bfloat16(device) else f"{name}, in float32"
