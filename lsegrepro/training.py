"""Training from image labels alone: plain SGD on the aggregated scores of N patches (Section 3.2).

Every random draw of step t is a function of (seed, round, t), so a training that
was interrupted goes on exactly as if it had not been.
"""

from __future__ import annotations

import dataclasses
import json
import platform
import time
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from . import __version__, model
from .arguments import Training
from .classification import autocast, balanced_accuracy, weak_scores
from .errors import LsegreproError
from .files import atomic, read_json, read_jsonl
from .sampling import Decoded, HardNegatives, batch_patches
from .weights import Weights, card_path, load_tensors, save_tensors, save_weights, to_json

LOG_EVERY = 2_000
"""Samples between two rows of the curve."""

EVALUATE_EVERY = 10_000
"""Samples between two evaluations on held-out weak labels."""

CHECKPOINT_SECONDS = 60
"""Time between two checkpoints."""


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
) -> Path:
    """Train one network, or go on with it, or find it finished.

    Writes ``out`` (safetensors), its card (``.json``) and its curve (``.jsonl``); while
    training also ``.checkpoint``, from which an interrupted training goes on.

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
        Round 2 starts from these.
    hard : HardNegatives, optional
        Needed by round 2.
    stop_after : int, optional
        Stop (resumably) after this many steps of this call; for tests and time slices.

    Returns
    -------
    Path
        `out` if finished, else the checkpoint.

    Raises
    ------
    LsegreproError
        If a finished training or a checkpoint in that place has other arguments, if the loss
        is no longer finite, or if nothing can be written.
    """
    out, device = Path(out), torch.device(device)
    if out.suffix != ".safetensors":
        raise LsegreproError(f"weights are written to a .safetensors file, not {out}")
    if not (args.round == 2) == (hard is not None) == (start is not None):
        raise LsegreproError("round 2 needs the weights of round 1 and hard negatives; round 1 takes neither")
    identity = identify(args, data, start, hard)
    if out.is_file():
        _same(identity, read_json(card_path(out)), out)
        return out

    generator = torch.Generator().manual_seed(args.seed)
    net = model.PatchNet(args.net, initialisation=args.initialisation, generator=generator)
    if start is not None:
        net.load_state_dict(start.net.state_dict())
    net.to(device, memory_format=torch.channels_last)
    # One step on the mean loss of a batch at rate * batch moves as far as `batch` steps at rate.
    optimiser = torch.optim.SGD(net.parameters(), lr=args.rate * args.batch, momentum=args.momentum)
    checkpoint, curve = out.with_suffix(".checkpoint"), out.with_suffix(".jsonl")
    step, seconds, since, running = _restore(net, optimiser, checkpoint, identity)
    rows = [row for row in read_jsonl(curve) if row["step"] <= step] if step and curve.is_file() else []
    aggregate = model.aggregation(args.aggregation_name)

    def save_curve() -> None:
        with atomic(curve) as temporary:
            temporary.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")

    save_curve()  # a folder that cannot be written to is found out now

    def save(step: int) -> None:
        save_curve()  # first: a checkpoint is never ahead of its curve
        elapsed = seconds + time.monotonic() - begun
        _save_checkpoint(net, optimiser, checkpoint, identity, step, elapsed, since, running)

    begun = saved = logged = time.monotonic()
    first, running = step, running.to(device)
    log_steps = max(1, LOG_EVERY // args.batch)
    evaluate_steps = max(1, EVALUATE_EVERY // args.batch)
    label = f"{args.model} {args.cls} round {args.round}"
    with tqdm(total=args.steps * args.batch, initial=step * args.batch, desc=label, unit="image",
              disable=not progress, mininterval=1) as bar:
        while step < args.steps:
            x, target = batch_patches(args, step, data, hard)  # (B*N, 3, sz, sz), (B,)
            with autocast(device, args.precision):
                scores = net(x)  # (B*N, 2)
            loss = model.loss(aggregate(scores.float().view(args.batch, -1, 2)), target)
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            optimiser.step()
            running += loss.detach()
            step += 1
            bar.update(args.batch)
            if step % log_steps == 0 or step == args.steps:
                mean = running.item() / (step - since)  # the only point that waits for the device
                if not np.isfinite(mean):
                    kept = f"the last good checkpoint is {checkpoint}" if checkpoint.is_file() else "nothing was kept"
                    raise LsegreproError(
                        f"the loss of {label} is {mean} before step {step}; {kept}; use a smaller rate than {args.rate}"
                    )
                now = time.monotonic()
                row = {"step": step, "samples": step * args.batch, "loss": mean,
                       "images_per_second": (step - max(since, first)) * args.batch / max(now - logged, 1e-9)}
                if heldout is not None and (step % evaluate_steps < log_steps or step == args.steps):
                    row |= evaluate_weak(net, heldout, args)
                rows.append(row)
                running.zero_()
                since, logged = step, time.monotonic()
                bar.set_postfix(loss=f"{mean:.3f}")
                if logged - saved > CHECKPOINT_SECONDS:
                    save(step)
                    saved = time.monotonic()
            if stop_after is not None and step - first >= stop_after and step < args.steps:
                save(step)
                return checkpoint
    save(step)
    save_weights(out, net, {
        **identity,
        "data": data.description,
        "samples": step * args.batch,
        "hours": round((seconds + time.monotonic() - begun) / 3600, 4),
        "device": device_name(device),
        "versions": versions(),
        "final": rows[-1],
    })
    checkpoint.unlink()
    return out


def evaluate_weak(net: model.PatchNet, heldout: Decoded, args: Training, limit: int = 256) -> dict[str, float]:
    """Loss and balanced accuracy on at most `limit` held-out images of each label (with, without)."""
    present = np.flatnonzero(heldout.labels == args.cls)[:limit]
    others = heldout.labels == "background" if args.negatives == "background" else heldout.labels != args.cls
    absent = np.flatnonzero(others)
    absent = absent[np.linspace(0, len(absent) - 1, min(limit, len(absent))).astype(int)]  # of every kind
    index = np.concatenate([present, absent])
    scores = weak_scores(net, heldout.batch(index), args.aggregation_name, precision=args.precision)
    target = torch.as_tensor((np.arange(len(index)) >= len(present)).astype(np.int64), device=scores.device)
    correct = (scores.argmax(1) == target).cpu().numpy()
    return {
        "heldout_loss": model.loss(scores, target).item(),
        "heldout_accuracy": balanced_accuracy(correct, np.arange(len(index)) < len(present)),
    }


def identify(args: Training, data: Decoded, start: Weights | None, hard: HardNegatives | None) -> dict:
    """What makes two trainings the same: arguments, data, and what round 2 starts from."""
    return {
        "arguments": dataclasses.asdict(args),
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


def device_name(device: torch.device) -> str:
    """The device in words, as a card names it."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    threads = torch.get_num_threads()
    return f"{threads} CPU thread{'s' * (threads > 1)}, {platform.machine()}"


def _same(wanted: dict, found: dict, path: Path) -> None:
    wanted = json.loads(to_json(wanted))
    for key, value in wanted.items():
        other = found.get(key)
        if key == "arguments":
            differing = [k for k in value if (other or {}).get(k) != value[k]]
            if differing:
                k = differing[0]
                raise LsegreproError(
                    f"{path} has {k} = {(other or {}).get(k)!r}, asked for {value[k]!r}: "
                    "delete it or choose another run folder"
                )
        elif other != value:
            raise LsegreproError(
                f"{path} was made with another {key.replace('_', ' ')}: delete it or choose another run folder"
            )


def _save_checkpoint(
    net: model.PatchNet, optimiser: torch.optim.SGD, path: Path, identity: dict, step: int, seconds: float,
    since: int, running: torch.Tensor,
) -> None:
    # The losses summed since step `since`, the last row of the curve, belong to its next row.
    tensors = {**net.state_dict(), "running": running}
    for name, parameter in net.named_parameters():
        buffer = optimiser.state[parameter].get("momentum_buffer")
        if buffer is not None:
            tensors[f"momentum.{name}"] = buffer
    save_tensors(path, tensors, {"identity": to_json(identity), "step": str(step), "since": str(since),
                                 "seconds": f"{seconds:.3f}"})


def _restore(
    net: model.PatchNet, optimiser: torch.optim.SGD, path: Path, identity: dict
) -> tuple[int, float, int, torch.Tensor]:
    """Load a checkpoint into the network and the optimiser; return step, seconds, `since` and `running`."""
    if not path.is_file():
        return 0, 0.0, 0, torch.zeros(())
    tensors, metadata = load_tensors(path)
    try:
        found, step, seconds = json.loads(metadata["identity"]), int(metadata["step"]), float(metadata["seconds"])
        since = int(metadata.get("since", step))
    except (KeyError, ValueError) as error:
        raise LsegreproError(f"{path} is not a checkpoint of this program; delete it and run again") from error
    _same(identity, found, path)
    with torch.no_grad():
        for name, parameter in net.named_parameters():
            parameter.copy_(tensors[name])
            buffer = tensors.get(f"momentum.{name}")
            if buffer is not None:
                # The buffer takes the parameter's memory layout, as in an uninterrupted run.
                optimiser.state[parameter]["momentum_buffer"] = torch.empty_like(parameter).copy_(buffer)
    return step, seconds, since, tensors.get("running", torch.zeros(()))
