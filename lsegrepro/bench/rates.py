"""Rates of the steps around the network: training, superpixels, order statistics, the bootstrap."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import torch

from .. import evaluation, paper, superpixels
from ..arguments import Training
from ..data.drawn import DrawnWeak
from ..files import read_jsonl
from ..model import PatchNet
from ..sampling import Decoded, batch_patches
from ..training import sgd, train, update
from .clock import in_turns, seconds, summary
from .inference import picture

RESAMPLES = 10_000


def training_rates(
    model: str, precision: str, device: torch.device, *, steps: int, rounds: int
) -> dict[str, float]:
    """Images a second of a whole training, and of its arithmetic alone.

    The first is `lsegrepro.training.train` itself: it draws images, jitters them, cuts patches and
    takes a step. The second takes the same steps on one batch of patches that is in memory
    already. Both are measured in turns; the best of each counts.

    Returns
    -------
    dict
        ``images_per_second``, ``in_memory_images_per_second``, their ``ratio``, and ``batch``.
    """
    batch = Training.batch
    args = Training(model="LSE2" if model.startswith("LSE2") else "LSE1", architecture=model, precision=precision,
                    samples=steps * batch)
    data = Decoded(DrawnWeak("train", 24), device, progress=False)
    x, target = batch_patches(args, 0, data)  # this also decodes the pictures
    net = PatchNet(args.net, generator=torch.Generator().manual_seed(0))
    net.to(device, memory_format=torch.channels_last)
    optimiser = sgd(net, args)

    def in_memory() -> None:
        for _ in range(steps):
            update(net, optimiser, x, target, args)

    seconds(in_memory, device)  # a warm-up
    whole, memory = [], []
    for _ in range(rounds):
        whole.append(_trained(args, data, device))
        memory.append(steps * batch / seconds(in_memory, device))
    return {
        "images_per_second": max(whole),
        "in_memory_images_per_second": max(memory),
        "ratio": max(whole) / max(memory),
        "batch": batch,
    }


def _trained(args: Training, data: Decoded, device: torch.device) -> float:
    """Images a second that a training notes in its curve."""
    with tempfile.TemporaryDirectory() as folder:
        out = train(args, data, Path(folder) / "net.safetensors", device=device, progress=False)
        return read_jsonl(out.with_suffix(".jsonl"))[-1]["images_per_second"]


def superpixel_rates(size: tuple[int, int], *, rounds: int, budget: float) -> dict[str, float]:
    """Rates of Felzenszwalb's method and of the order statistic on one photograph, in one process.

    Returns
    -------
    dict
        ``images_per_second`` and ``superpixels_per_second`` of the over-segmentation,
        ``order_statistic_images_per_second``, and ``superpixels``, their number in the photograph.
    """
    image = picture(size)
    labels = superpixels.oversegment(image)
    codes = np.random.default_rng(0).integers(0, 1 << 16, labels.shape, dtype=np.uint16)
    times = in_turns({
        "oversegment": lambda: superpixels.oversegment(image),
        "order statistic": lambda: superpixels.order_statistic(codes, labels),
    }, torch.device("cpu"), rounds=rounds, budget=budget)
    number = int(labels.max()) + 1
    return {
        "images_per_second": 1 / min(times["oversegment"]),
        "superpixels_per_second": number / min(times["oversegment"]),
        "order_statistic_images_per_second": 1 / min(times["order statistic"]),
        "superpixels": number,
    }


def bootstrap_time(*, rounds: int, budget: float) -> dict[str, float]:
    """Time of one bootstrap interval over as many images as VOC val has, from random counts.

    Returns
    -------
    dict
        ``seconds``, ``median_seconds``, ``repetitions``, ``resamples`` and ``images``.
    """
    counts = np.random.default_rng(0).integers(0, 1000, (paper.VAL_IMAGES, 4))
    times = in_turns({"bootstrap": lambda: evaluation.bootstrap(counts, resamples=RESAMPLES)}, torch.device("cpu"),
                     rounds=rounds, budget=budget)
    return summary(times["bootstrap"]) | {"resamples": RESAMPLES, "images": paper.VAL_IMAGES}
