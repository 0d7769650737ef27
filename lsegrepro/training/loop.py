"""Training from image labels alone: plain SGD on the aggregated scores of N patches (Section 3.2).

Every random draw of step t is a function of (seed, round, t), so a training that was interrupted continues
from its checkpoint exactly as if it had not been.

What is reproducible:

- On CPUs of one kind, with the same versions and number of threads: every bit of the weights.
- On a GPU: every draw. The arithmetic uses cuDNN's deterministic algorithms, and the rest of a step has no
  atomic additions, for the pooling windows do not overlap. So the same GPU and versions should give the same bits,
  but cuDNN and cuBLAS do not promise it for all of their kernels. Another kind of GPU, or a CPU, gives close weights.
"""

from __future__ import annotations

import copy
import json
import time
from contextlib import closing
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from .. import paper
from ..config import Training
from ..data import LABELS
from ..evaluation import auc
from ..files import LsegreproError, atomic, locked
from ..network import devices, model
from ..network.classify import weak_scores
from ..network.weights import Weights, save_weights
from .batches import HardNegatives, WeakDataset, batches
from .checkpoints import identify, is_finished, read_checkpoint, write_checkpoint

LOG_EVERY = 2_000
"""Samples between two rows of the training curve."""

EVALUATE_EVERY = 10_000
"""Samples between two evaluations on held-out weak labels."""

CHECKPOINT_SECONDS = 60
"""Time between two checkpoints."""


def train(
    config: Training,
    dataset: WeakDataset,
    out: str | Path,
    *,
    heldout: WeakDataset | None = None,
    start: Weights | None = None,
    hard_negatives: HardNegatives | None = None,
    device: str | torch.device = "cpu",
    progress: bool = True,
    stop_after: int | None = None,
    keep_checkpoint: bool = False,
) -> Path:
    """Train one network, or resume its training, or return at once if it is finished.

    Writes ``out`` (safetensors), its card (``.json``) and its training curve (``.jsonl``);
    on the way also ``.checkpoint``, from which an interrupted training continues.

    Parameters
    ----------
    config : Training
    dataset : WeakDataset
        Training images, on `device`.
    out : path
        The weights file, ending in ``.safetensors``.
    heldout : WeakDataset, optional
        Images for the held-out columns of the curve; they never influence the weights.
    start : Weights, optional
        Initial weights; round 2 needs those of round 1.
    hard_negatives : HardNegatives, optional
        Needed by round 2.
    stop_after : int, optional
        Stop (resumably) after this many steps of this call; for tests and time slices.
    keep_checkpoint : bool
        Leave the last checkpoint beside the weights, for a longer training to continue from.

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
    second = config.round == 2
    if second != (hard_negatives is not None) or (second and start is None):
        raise LsegreproError("round 2 needs the weights of round 1 and hard negatives; round 1 takes no hard negatives")
    identity = identify(config, dataset, start, hard_negatives)
    if is_finished(out, identity):
        return out
    with locked(out), devices.deterministic(device):
        if is_finished(out, identity):  # by the process that held the lock until now
            return out
        if device.type == "cpu":
            devices.keep_freed_memory()
        net = model.PatchNet(config.net, initialisation=config.initialisation, output=config.output,
                             generator=torch.Generator().manual_seed(config.seed))
        if start is not None:
            net.load_state_dict(start.net.state_dict())
        net.to(device, memory_format=torch.channels_last)
        average = copy.deepcopy(net) if config.average else None
        optimiser = make_optimiser(net, config)

        # The curve, a row every LOG_EVERY samples, and the sum of the losses since its last row.
        rows, loss_sum = [], torch.zeros((), device=device)
        step = first = 0
        seconds = 0.0  # spent by earlier calls
        checkpoint = out.with_suffix(".checkpoint")
        if checkpoint.is_file():
            saved = read_checkpoint(checkpoint, identity, device)
            net.load_state_dict(saved["net"])
            optimiser.load_state_dict(saved["optimiser"])
            if average is not None:
                average.load_state_dict(saved["average"])
            rows, loss_sum, seconds = saved["curve"], saved["loss_sum"], saved["seconds"]
            step = first = saved["step"]

        def save_checkpoint() -> None:
            if not all(parameter.isfinite().all() for parameter in net.parameters()):
                raise diverged(config, f"weights are no longer finite after step {step}", checkpoint)
            save_curve(out, rows)
            write_checkpoint(checkpoint, identity, {
                "step": step, "net": net.state_dict(), "optimiser": optimiser.state_dict(),
                "average": average.state_dict() if average is not None else None,
                "curve": rows, "loss_sum": loss_sum, "seconds": seconds + time.monotonic() - began,
            })

        save_curve(out, rows)  # a folder that cannot be written to is noticed now
        log_steps = max(1, LOG_EVERY // config.batch)
        evaluate_steps = max(1, EVALUATE_EVERY // config.batch)
        began = last_checkpoint = last_row = time.monotonic()
        stream = batches(dataset, config, hard_negatives, first)
        bar = tqdm(total=config.steps * config.batch, initial=first * config.batch, unit="image", mininterval=1,
                   desc=f"{config.model} {config.cls} round {config.round}", disable=not progress)
        with bar, closing(stream):
            for x, target in stream:  # (B*N, 3, sz, sz), (B,)
                loss_sum += sgd_step(net, optimiser, x, target, config, step)
                step += 1
                if average is not None:
                    update_average(average, net, config.average, step)
                bar.update(config.batch)
                if step % log_steps == 0 or step == config.steps:
                    previous = rows[-1]["step"] if rows else 0
                    loss = loss_sum.item() / (step - previous)  # the only place that waits for the device
                    if not np.isfinite(loss):
                        raise diverged(config, f"loss is {loss} between steps {previous + 1} and {step}", checkpoint)
                    elapsed = max(time.monotonic() - last_row, 1e-9)
                    row = {"step": step, "samples": step * config.batch, "loss": loss,
                           "images_per_second": (step - max(previous, first)) * config.batch / elapsed}
                    if heldout is not None and (step % evaluate_steps < log_steps or step == config.steps):
                        row |= evaluate_heldout(average or net, heldout, config)
                    rows.append(row)
                    loss_sum.zero_()
                    last_row = time.monotonic()
                    bar.set_postfix(loss=f"{loss:.3f}")
                    if last_row - last_checkpoint > CHECKPOINT_SECONDS:
                        save_checkpoint()
                        last_checkpoint = time.monotonic()
                if stop_after is not None and step - first >= stop_after and step < config.steps:
                    save_checkpoint()
                    return checkpoint
        save_checkpoint()
        unreadable = dataset.unreadable | (heldout.unreadable if heldout is not None else {})
        save_weights(out, average or net, {
            **identity,
            "data": dataset.description,
            **({"unreadable": dict(sorted(unreadable.items()))} if unreadable else {}),
            "samples": step * config.batch,
            "hours": round((seconds + time.monotonic() - began) / 3600, 4),
            "device": devices.device_name(device, config.precision),
            "tf32": devices.TF32 and device.type == "cuda" and config.precision == "float32",
            "versions": devices.versions(),
            "final": rows[-1],
        })
        if not keep_checkpoint:
            checkpoint.unlink(missing_ok=True)
        return out


def make_optimiser(net: model.PatchNet, config: Training) -> torch.optim.SGD:
    """The optimiser: plain SGD, unless the arguments name a momentum; `sgd_step` sets the rate of each step."""
    return torch.optim.SGD(net.parameters(), lr=config.rate * config.batch, momentum=config.momentum)


def sgd_step(
    net: torch.nn.Module, optimiser: torch.optim.SGD, x: Tensor, target: Tensor, config: Training, step: int = 0
) -> Tensor:
    """One SGD step on a batch of `batches.make_batch`: equation (4) and its gradient.

    Parameters
    ----------
    x : Tensor
        (B*N, 3, sz, sz) float32, the patches.
    target : Tensor
        (B,) int64: 0 where the image holds the class, 1 where not.
    step : int
        Number of the step, from 0: the rate may depend on it.

    Returns
    -------
    Tensor
        The mean loss of the batch before the step, a scalar on the device.
    """
    for group in optimiser.param_groups:
        # One step on the mean loss of a batch at rate * batch moves as far as `batch` steps at rate.
        group["lr"] = config.rate_at(step) * config.batch
    with devices.autocast(x.device, config.precision):
        scores = net(x)  # (B*N, 2)
    bag_scores = model.aggregation(config.aggregation_name)(scores.float().view(len(target), -1, 2))  # (B, 2)
    loss = model.loss(bag_scores, target)
    optimiser.zero_grad(set_to_none=True)
    loss.backward()
    optimiser.step()
    return loss.detach()


@torch.no_grad()
def update_average(average: model.PatchNet, net: model.PatchNet, share: float, step: int) -> None:
    """Average the weights with polynomial decay (Shamir and Zhang, 2013): over about a `share` of the steps so far."""
    torch._foreach_lerp_(list(average.parameters()), list(net.parameters()), min(1.0, 1 / (share * step)))


def evaluate_heldout(net: model.PatchNet, heldout: WeakDataset, config: Training, limit: int = 512) -> dict[str, float]:
    """Loss, accuracy and AUC of a network on held-out images, at most `limit` of each label.

    Returns
    -------
    dict
        ``heldout_loss`` and ``heldout_accuracy`` (balanced) under the draw of the training; ``heldout_auc_background``
        and ``heldout_auc_other``, the chance that an image of the class has a higher score than one of the background
        or of the other class.
    """
    positives, negatives = heldout.candidates(config.cls, config.negatives)
    other_class = heldout.codes[negatives.index] != LABELS.index("background")
    share = paper.other_class_share(config.cls) if config.negatives == "paper" else other_class.mean()
    weights = np.array([1, share, 1 - share]) / 2  # of positives, of the other class, of backgrounds
    groups = (positives.index, negatives.index[other_class], negatives.index[~other_class])
    losses, accuracies, margins = np.zeros(3), np.zeros(3), [np.zeros(0)] * 3
    for i, group in enumerate(groups):
        if len(group):
            index = group[np.linspace(0, len(group) - 1, min(limit, len(group))).astype(int)]  # of every source
            scores = weak_scores(net, heldout.images(index), config.aggregation_name, precision=config.precision).cpu()
            target = torch.full((len(index),), int(i > 0))
            losses[i] = model.loss(scores, target).item()
            accuracies[i] = (scores.argmax(1) == target).double().mean().item()
            margins[i] = (scores[:, 0] - scores[:, 1]).double().numpy()
    row = {"heldout_loss": float(weights @ losses), "heldout_accuracy": float(weights @ accuracies)}
    for name, negative in (("other", margins[1]), ("background", margins[2])):
        if len(negative):
            row[f"heldout_auc_{name}"] = auc(margins[0], negative)
    return row


def save_curve(out: Path, rows: list[dict]) -> None:
    """Write the training curve beside the weights, a JSON object a line."""
    with atomic(out.with_suffix(".jsonl")) as temporary:
        temporary.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def diverged(config: Training, problem: str, checkpoint: Path) -> LsegreproError:
    """The error of a training whose loss or weights are no longer finite."""
    remains = f"the last good checkpoint is {checkpoint}" if checkpoint.is_file() else "there is no checkpoint"
    return LsegreproError(f"{config.model} {config.cls} round {config.round} has diverged, its {problem}; {remains}; "
                          f"use a smaller rate than {config.rate}")
