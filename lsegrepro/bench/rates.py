"""Rates of the steps around the network: training, superpixels, order statistics, the bootstrap."""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from .. import evaluation, paper
from ..config import Training
from ..evidence import superpixels
from ..files import read_jsonl
from ..network.model import PatchNet
from ..training.batches import WeakDataset, make_batch
from ..training.loop import LOG_EVERY, make_optimiser, sgd_step, train
from .clock import in_turns, seconds, summary
from .inference import picture
from .references import strided

RESAMPLES = 10_000

IMAGES = 32
"""Photographs that the training draws from: what it costs does not depend on how many there are."""


def _write_photographs(folder: Path, count: int) -> WeakFolder:
    """Crops of scikit-image's free photograph of a cup of coffee as JPEGs of 375x500 pixels; the labels are words."""
    from skimage.data import coffee

    photograph, rng = coffee(), np.random.default_rng(0)  # (400, 600, 3)
    for k in range(count):
        top, left = rng.integers(0, 26), rng.integers(0, 101)
        path = folder / LABELS[k % len(LABELS)] / f"{k}.jpg"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(photograph[top : top + 375, left : left + 500]).save(path, quality=95)
    return WeakFolder(folder, "all", heldout=0.0)


def training_rates(
    model: str, precision: str, device: torch.device, *, steps: int, budget: float, rounds: int
) -> dict[str, float]:
    """Images a second of a whole training, its images held or read from files, and of its arithmetic alone.

    The first two are `lsegrepro.training.loop.train` itself: it draws images, jitters them, cuts patches
    and takes a step. Once its images lie on the device, decoded; once they are read from shards and
    decoded anew for every batch, ahead of the step that needs them (`batches.batches`), as those of a set too
    large to be held are. The third takes the same steps on one batch of patches that is on the
    device already, and the fourth takes them by the usual gradient of the first layer (`gradients`).
    All are measured in turns; the best of each counts.

    Parameters
    ----------
    steps : int
        Of a training, at least.
    budget : float
        Seconds that a training goes on for where those steps are fewer, up to the first row of its curve.

    Returns
    -------
    dict
        ``images_per_second``, ``from_shards_images_per_second``, ``in_memory_images_per_second``,
        ``usual_gradient_images_per_second``, ``ratio`` and ``from_shards_ratio`` (of the first two to
        the third), ``loader_ratio`` (of the second to the first: 1 where the device never waits for an
        image), ``gradient_ratio`` (of the third to the fourth), and ``batch``.
    """
    args = Training(model="LSE2" if model.startswith("LSE2") else "LSE1", architecture=model, precision=precision)
    with tempfile.TemporaryDirectory() as folder:
        shards = write_shards(Path(folder), IMAGES)
        held, streamed = (WeakDataset(shards, device, progress=False) for _ in range(2))
        streamed.in_memory = False  # as if it were too large
        x, target = make_batch(held, args, 0)  # this also decodes the pictures that are held
        net = PatchNet(args.net, generator=torch.Generator().manual_seed(0))
        net.to(device, memory_format=torch.channels_last)
        optimiser = make_optimiser(net, args)

        def step(scores: Callable[[Tensor], Tensor] = net) -> None:
            sgd_step(scores, optimiser, x, target, args)

        seconds(step, device)  # a warm-up
        steps = min(max(steps, int(budget / seconds(step, device))), LOG_EVERY // args.batch)
        args = dataclasses.replace(args, samples=steps * args.batch)
        rates: dict[str, list[float]] = {"held": [], "streamed": [], "memory": [], "usual": []}
        for _ in range(rounds):
            rates["held"].append(_trained(args, held, device))
            rates["streamed"].append(_trained(args, streamed, device))
            for name, scores in (("memory", net), ("usual", lambda x: strided(net, x).flatten(1))):
                took = seconds(lambda scores=scores: [step(scores) for _ in range(steps)], device)
                rates[name].append(args.samples / took)
    best = {name: max(each) for name, each in rates.items()}
    return {
        "images_per_second": best["held"],
        "from_shards_images_per_second": best["streamed"],
        "in_memory_images_per_second": best["memory"],
        "usual_gradient_images_per_second": best["usual"],
        "ratio": best["held"] / best["memory"],
        "from_shards_ratio": best["streamed"] / best["memory"],
        "loader_ratio": best["streamed"] / best["held"],
        "gradient_ratio": best["memory"] / best["usual"],
        "batch": args.batch,
    }


def _trained(args: Training, data: WeakDataset, device: torch.device) -> float:
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
