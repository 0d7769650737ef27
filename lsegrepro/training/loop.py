"""Training from image labels alone: plain SGD on the aggregated scores of N patches (Section 3.2).

One step is `batches.make_batch` and `sgd_step`. Every random draw of step t is a function of (seed, round, t), so
an interrupted training resumes from its checkpoint exactly as if it had not been interrupted.

On CPUs of one kind, with the same versions and number of threads, every bit of the weights comes out again; on a GPU
every draw. The arithmetic there uses cuDNN's deterministic algorithms and no atomic additions, so the same GPU and
versions should give the same bits, but cuDNN and cuBLAS do not promise it. Another device gives close weights.
"""

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
from ..files import LsegreproError, atomic, locked, read_json
from ..network import devices, model
from ..network.classify import weak_scores
from ..network.weights import Weights, card_path, save_weights
from .batches import HardNegatives, WeakDataset, batches
from .checkpoints import TrainingState, identify, require_same_training

LOG_EVERY = 2_000  # samples between two rows of the training curve
EVALUATE_EVERY = 10_000  # samples between two evaluations on held-out weak labels
CHECKPOINT_SECONDS = 60


def train(
    config: Training, dataset: WeakDataset, out: str | Path, *, heldout: WeakDataset | None = None,
    start: Weights | None = None, hard_negatives: HardNegatives | None = None, device: str | torch.device = "cpu",
    progress: bool = True, stop_after: int | None = None, keep_checkpoint: bool = False,
) -> Path:
    """Train one network, or resume its training, or return at once if it is finished.

    Writes ``out`` (safetensors), its card (``.json``) and its training curve (``.jsonl``); on the way also
    ``.checkpoint``, from which an interrupted training resumes. Images of `heldout` are for the held-out columns of the
    curve, and influence the weights only through `hard_negatives`. `start`, initial weights, and `hard_negatives` are
    both needed in round 2. `stop_after` so many steps of this call the training stops, to be resumed, and the path is
    that of the checkpoint; `keep_checkpoint` leaves the last one beside the weights, for a longer training to go on
    from.

    Raises `LsegreproError` if a finished training or a checkpoint in that place has other arguments, if another process
    trains it, if the loss is no longer finite, or if nothing can be written.
    """
    out, device = Path(out), torch.device(device)
    checkpoint = out.with_suffix(".checkpoint")
    if (config.round == 2) != (hard_negatives is not None) or (config.round == 2 and start is None):
        raise LsegreproError("round 2 needs the weights of round 1 and hard negatives; round 1 takes no hard negatives")
    identity = identify(config, dataset, start, hard_negatives)
    with locked(out), devices.deterministic(device):
        if out.is_file():
            require_same_training(identity, read_json(card_path(out)), out)
            return out
        state = initial_state(config, start, device)
        if checkpoint.is_file():
            state.restore(checkpoint, identity)
        log_steps, heldout_steps = (max(1, samples // config.batch) for samples in (LOG_EVERY, EVALUATE_EVERY))
        steps = range(state.step, config.steps)[:stop_after]
        bar = tqdm(total=config.steps * config.batch, initial=state.step * config.batch, unit="image", mininterval=1,
                   desc=f"{config.model} {config.cls} round {config.round}", disable=not progress)
        timed_step, timed_from = state.step, time.monotonic()
        last_checkpoint = time.monotonic()
        with bar, closing(batches(dataset, config, steps, hard_negatives)) as stream:
            for x, target in stream:  # (B*N, 3, sz, sz), (B,)
                state.loss_sum += sgd_step(state.net, state.optimiser, x, target, config, state.step)
                state.step += 1
                if state.average is not None:
                    update_average(state.average, state.net, config.average, state.step)
                bar.update(config.batch)
                if state.step % log_steps and state.step != config.steps:
                    continue  # what follows is the training curve and the checkpoint
                row = {"step": state.step, "samples": state.step * config.batch, "loss": mean_loss(state, config)}
                elapsed = max(time.monotonic() - timed_from, 1e-9)
                row["images_per_second"] = (state.step - timed_step) * config.batch / elapsed
                if heldout is not None and (state.step % heldout_steps < log_steps or state.step == config.steps):
                    row |= evaluate_heldout(state.average or state.net, heldout, config)
                state.curve.append(row)
                timed_step, timed_from = state.step, time.monotonic()
                bar.set_postfix(loss=f"{row['loss']:.3f}")
                if time.monotonic() - last_checkpoint > CHECKPOINT_SECONDS:
                    save_progress(state, config, out, identity)
                    last_checkpoint = time.monotonic()
        save_progress(state, config, out, identity)
        if state.step < config.steps:
            return checkpoint
        save_weights(out, state.average or state.net, {
            **identity,
            "data": dataset.description,
            "samples": state.step * config.batch,
            "hours": round(state.seconds / 3600, 4),
            "device": devices.device_name(device, config.precision),
            "tf32": devices.TF32 and device.type == "cuda" and config.precision == "float32",
            "versions": devices.versions(),
            "final": state.curve[-1],
        })
        if not keep_checkpoint:
            checkpoint.unlink(missing_ok=True)
        return out


def initial_state(config: Training, start: Weights | None, device: torch.device) -> TrainingState:
    """The state before the first step: initial weights drawn by the seed, or those of `start`."""
    if device.type == "cpu":
        devices.keep_freed_memory()
    net = model.PatchNet(config.net, initialisation=config.initialisation, output=config.output,
                         generator=torch.Generator().manual_seed(config.seed))
    if start is not None:
        net.load_state_dict(start.net.state_dict())
    net.to(device, memory_format=torch.channels_last)
    average = copy.deepcopy(net) if config.average else None
    return TrainingState(net, make_optimiser(net, config), average, torch.zeros((), device=device))


def make_optimiser(net: model.PatchNet, config: Training) -> torch.optim.SGD:
    """Plain SGD, unless the arguments name a momentum; `sgd_step` sets the rate of each step."""
    return torch.optim.SGD(net.parameters(), lr=config.rate * config.batch, momentum=config.momentum)


def sgd_step(
    net: torch.nn.Module, optimiser: torch.optim.SGD, x: Tensor, target: Tensor, config: Training, step: int = 0
) -> Tensor:
    """One SGD step on a batch of `batches.make_batch`; returns its mean loss before the step, a scalar on the device.

    `step` counts from 0: the rate may depend on it.
    """
    for group in optimiser.param_groups:
        # One step on the mean loss of a batch at rate * batch moves as far as `batch` steps at rate.
        group["lr"] = config.rate_at(step) * config.batch
    with devices.autocast(x.device, config.precision):
        scores = net(x)  # (B*N, 2)
    scores = scores.float().view(len(target), -1, 2)  # (B, N, 2)
    image_scores = model.aggregation(config.aggregation_name)(scores)  # (B, 2)
    if config.negative_patches == "each":
        loss = model.loss_of_each_negative(image_scores, scores, target)
    else:
        loss = model.loss(image_scores, target)
    optimiser.zero_grad(set_to_none=True)
    loss.backward()
    optimiser.step()
    return loss.detach()


@torch.no_grad()
def update_average(average: model.PatchNet, net: model.PatchNet, share: float, step: int) -> None:
    """Average the weights with polynomial decay (Shamir and Zhang, 2013): over about a `share` of the steps so far."""
    torch._foreach_lerp_(list(average.parameters()), list(net.parameters()), min(1.0, 1 / (share * step)))


def mean_loss(state: TrainingState, config: Training) -> float:
    """Mean loss of the steps since the last row of the curve, whose sum it resets; refuses one that is not finite."""
    previous = state.curve[-1]["step"] if state.curve else 0
    loss = state.loss_sum.item() / (state.step - previous)
    if not np.isfinite(loss):
        raise diverged(config, f"its loss is {loss} between steps {previous + 1} and {state.step}")
    state.loss_sum.zero_()
    return loss


def evaluate_heldout(net: model.PatchNet, heldout: WeakDataset, config: Training, limit: int = 512) -> dict[str, float]:
    """Loss, accuracy and AUC of a network on held-out images, at most `limit` of each label.

    ``heldout_loss`` and ``heldout_accuracy`` (balanced) are those under the draw of the training;
    ``heldout_auc_background`` and ``heldout_auc_other`` are the chance that an image of the class has a higher score
    than one of the background or of the other class.
    """
    positives, negatives = heldout.candidates(config.cls, config.negatives)
    is_other = heldout.labels[negatives.index] != LABELS.index("background")
    mixed = config.negatives == "paper" and 0 < is_other.mean() < 1  # else the draw is uniform over the negatives
    share = paper.other_class_share(config.cls) if mixed else is_other.mean()
    groups = {"positive": (positives.index, 0.5), "other": (negatives.index[is_other], share / 2),
              "background": (negatives.index[~is_other], (1 - share) / 2)}
    row, margins = {"heldout_loss": 0.0, "heldout_accuracy": 0.0}, {}
    for name, (group, weight) in groups.items():
        if not len(group):
            continue
        index = group[np.linspace(0, len(group) - 1, min(limit, len(group))).astype(int)]  # of every source
        scores = weak_scores(net, heldout.images(index), config.aggregation_name, precision=config.precision).cpu()
        target = torch.full((len(index),), int(name != "positive"))
        row["heldout_loss"] += weight * model.loss(scores, target).item()
        row["heldout_accuracy"] += weight * (scores.argmax(1) == target).double().mean().item()
        margins[name] = (scores[:, 0] - scores[:, 1]).double().numpy()
        if name != "positive":
            larger = np.sign(margins["positive"][:, None] - margins[name])  # 1, 0 or -1 for each pair
            row[f"heldout_auc_{name}"] = (1 + larger.mean()) / 2
    return {key: float(value) for key, value in row.items()}


def save_progress(state: TrainingState, config: Training, out: Path, identity: dict) -> None:
    """Write the training curve, a JSON object a line, and the checkpoint; refuses weights that are not finite."""
    if not all(parameter.isfinite().all() for parameter in state.net.parameters()):
        raise diverged(config, f"its weights are no longer finite after step {state.step}")
    with atomic(out.with_suffix(".jsonl")) as temporary:
        temporary.write_text("".join(json.dumps(row) + "\n" for row in state.curve), encoding="utf-8")
    state.save(out.with_suffix(".checkpoint"), identity)


def diverged(config: Training, problem: str) -> LsegreproError:
    """The error of a training whose loss or weights are no longer finite."""
    return LsegreproError(f"{config.model} {config.cls} round {config.round} has diverged: {problem}; use a smaller "
                          f"rate than {config.rate} (the last good checkpoint is left as it is)")
