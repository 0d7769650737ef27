"""Measure dense inference and training, as ratios to the rate of a matrix product in the same run.

The floor is the time that the network's operations would take at the rate of a large float32 matrix product. A
multiply-add counts as two operations; biases, maxima and tanh, about 1 % of the whole, are left out.
"""

from __future__ import annotations

import dataclasses
import json
import os
import platform
import tempfile
from collections.abc import Callable
from pathlib import Path
from statistics import median

import click
import numpy as np
import torch
from torch import Tensor
from torch.utils.benchmark import Timer
from torch.utils.flop_counter import FlopCounterMode

from lsegrepro import __version__, paper
from lsegrepro.config import Training
from lsegrepro.data.drawn import DrawnWeak
from lsegrepro.data.images import resize
from lsegrepro.files import atomic, read_jsonl
from lsegrepro.network.dense import score_map
from lsegrepro.network.devices import has_bfloat16, parse_device
from lsegrepro.network.model import PatchNet
from lsegrepro.training.batches import WeakDataset, make_batch
from lsegrepro.training.loop import make_optimiser, sgd_step, train

from . import references

FORMAT = 2
"""Version of the record's keys."""

PRODUCT = 2048
"""Side of the two float32 matrices whose product sets the rate: 17.2 GFLOP, far beyond any cache."""

PATCHES, PASSES = 64, 4
"""Patches and shifted passes that are timed in place of all."""

LAYERS = ("conv1", "conv2", "conv3", "full4", "full5")


def layer_flops(architecture: paper.Architecture) -> dict[str, int]:
    """Operations of each layer for one position of its output (Table 1).

    >>> layer_flops(paper.ARCHITECTURES["LSE1"])["conv1"] == 2 * 40 * 3 * 8 * 8
    True
    """
    inputs, outputs = (3, *architecture.hidden), (*architecture.hidden, 2)
    areas = (*(side**2 for side in architecture.filters), 1, 1)
    return {name: 2 * i * o * a for name, i, o, a in zip(LAYERS, inputs, outputs, areas, strict=True)}


def machine(device: torch.device) -> dict[str, object]:
    """Processor, threads, GPU and version of torch; nothing that names the machine itself."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8", errors="replace").splitlines() if info.is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return {
        "processor": names[0] if names else platform.processor() or platform.machine(),
        "logical_cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "gpu": torch.cuda.get_device_name(device) if device.type == "cuda" else None,
        "torch": torch.__version__,
    }


def seconds(call: Callable[[], object], min_time: float) -> float:
    """Median time of a call, a GPU's work included."""
    timer = Timer("call()", globals={"call": call}, num_threads=torch.get_num_threads())
    return timer.blocked_autorange(min_run_time=min_time).median


def product_rate(device: torch.device, min_time: float) -> float:
    """Operations a second of a float32 matrix product."""
    generator = torch.Generator().manual_seed(0)
    a, b = (torch.rand(PRODUCT, PRODUCT, generator=generator).to(device) for _ in range(2))
    return 2 * PRODUCT**3 / seconds(lambda: a @ b, min_time)


def seeded_network(model: str, device: torch.device) -> PatchNet:
    """A network with seeded weights, twice the initial ones: rounding errors are as large as a trained network's."""
    net = PatchNet(paper.ARCHITECTURES[model], generator=torch.Generator().manual_seed(0)).eval()
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.mul_(2)
    return net.to(device, memory_format=torch.channels_last)


def photograph(size: tuple[int, int]) -> np.ndarray:
    """scikit-image's free photograph of a cat, resized to (H, W): (H, W, 3) uint8."""
    from skimage.data import chelsea

    return resize(chelsea(), *size)


@dataclasses.dataclass(frozen=True)
class Way:
    """One way to a score for every pixel.

    Attributes
    ----------
    call : callable
        Gives (2, H, W) scores, nan for pixels that it leaves out.
    factor : float
        The whole work in units of the part that is timed.
    estimated_from : str or None
        What is timed, if it is a part.
    """

    call: Callable[[], Tensor]
    factor: float = 1.0
    estimated_from: str | None = None


def ways(net: PatchNet, image: np.ndarray) -> dict[str, Way]:
    """The ways by name: patches, shifts, dilation, ours, and ours-bfloat16 where the device has it."""
    height, width = image.shape[:2]
    pixels, passes = height * width, references.passes(net, image)
    chosen = np.unique(np.linspace(0, pixels - 1, PATCHES).astype(np.int64))
    places = np.stack(np.divmod(chosen, width), axis=1)  # (n, 2)
    limit = min(PASSES, passes)

    def patches() -> Tensor:
        scores = torch.full((2, height, width), torch.nan)
        scores[:, places[:, 0], places[:, 1]] = references.patch_by_patch(net, image, places)
        return scores

    result = {
        "patches": Way(patches, pixels / len(places), f"{len(places)} patches"),
        "shifts": Way(lambda: references.shift_and_stitch(net, image, limit), passes / limit,
                      f"{limit} of {passes} passes" if limit < passes else None),
        "dilation": Way(lambda: references.dilation(net, image)),
        "ours": Way(lambda: score_map(net, image)),
    }
    if has_bfloat16(next(net.parameters()).device):
        result["ours-bfloat16"] = Way(lambda: score_map(net, image, precision="bfloat16"))
    return result


def measure_ways(net: PatchNet, image: np.ndarray, min_time: float) -> dict[str, dict]:
    """Time each way, count its operations, and compare its scores with ours in float32.

    Returns
    -------
    dict
        Name to ``seconds``, ``estimated_from``, ``flops`` (of its convolutions and matrix products) and
        ``largest_difference``.
    """
    ours, results = score_map(net, image), {}
    for name, way in ways(net, image).items():
        with FlopCounterMode(display=False) as counter:
            scores = way.call()
        results[name] = {
            "seconds": seconds(way.call, min_time) * way.factor,
            "estimated_from": way.estimated_from,
            "flops": counter.get_total_flops() * way.factor,
            "largest_difference": float((scores - ours).abs().nan_to_num(0).max()),
        }
    return results


def measure_training(
    model: str, precision: str, device: torch.device, images: int, min_time: float
) -> dict[str, float]:
    """Images a second of a whole training, and of its steps on one batch of patches that lies in memory.

    Returns
    -------
    dict
        ``images_per_second``, ``in_memory_images_per_second``, ``ratio`` of the first to the second, and ``batch``.
    """
    config = Training(model="LSE2" if model.startswith("LSE2") else "LSE1", architecture=model, precision=precision)
    config = dataclasses.replace(config, samples=max(images, config.batch))
    dataset = WeakDataset(DrawnWeak("train", count=32), device, progress=False)
    patches, target = make_batch(dataset, config, 0)
    net = PatchNet(config.net, generator=torch.Generator().manual_seed(0))
    net.to(device, memory_format=torch.channels_last)
    optimiser = make_optimiser(net, config)
    in_memory = config.batch / seconds(lambda: sgd_step(net, optimiser, patches, target, config), min_time)
    with tempfile.TemporaryDirectory() as folder:
        path = train(config, dataset, Path(folder) / "net.safetensors", device=device, progress=False)
        whole = read_jsonl(path.with_suffix(".jsonl"))[-1]["images_per_second"]
    return {"images_per_second": whole, "in_memory_images_per_second": in_memory, "ratio": whole / in_memory,
            "batch": config.batch}


def measure(
    models: tuple[str, ...], size: tuple[int, int], device: torch.device, *, min_time: float = 5.0, images: int = 2000
) -> dict:
    """Measure everything.

    Parameters
    ----------
    models : tuple of str
        Names of `paper.ARCHITECTURES`.
    size : tuple of int
        (H, W) of the image that is scored.
    device : torch.device
    min_time : float
        Seconds that each call is repeated for.
    images : int
        That a training sees.

    Returns
    -------
    dict
        ``machine``, ``size``, ``matrix_product`` (operations a second), and ``models``: for each its ``layers``
        (operations for a pixel), its ``floor`` (``flops`` and ``seconds``), its ``ways`` (`measure_ways`, with
        ``times_floor`` and ``times_flops``) and its ``training`` by precision (`measure_training`).
    """
    rates, results = [product_rate(device, min_time)], {}
    precisions = ("float32", "bfloat16") if has_bfloat16(device) else ("float32",)
    for model in models:
        layers = layer_flops(paper.ARCHITECTURES[model])
        results[model] = {
            "layers": layers,
            "floor": {"flops": size[0] * size[1] * sum(layers.values())},
            "ways": measure_ways(seeded_network(model, device), photograph(size), min_time),
            "training": {p: measure_training(model, p, device, images, min_time) for p in precisions},
        }
        rates.append(product_rate(device, min_time))  # machines change pace
    for result in results.values():
        floor = result["floor"]
        floor["seconds"] = floor["flops"] / median(rates)
        for way in result["ways"].values():
            way |= {f"times_{key}": way[value] / floor[value] for key, value in
                    (("floor", "seconds"), ("flops", "flops"))}
    return {"format": FORMAT, "lsegrepro": __version__, "machine": machine(device), "size": list(size),
            "matrix_product": median(rates), "models": results}


@click.command()
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), required=True, help="JSON file to write")
@click.option("--model", "models", type=click.Choice(list(paper.ARCHITECTURES)), multiple=True,
              default=("LSE1", "LSE2"), show_default=True)
@click.option("--size", type=(click.IntRange(1, 2000), click.IntRange(1, 2000)), default=(375, 500), show_default=True)
@click.option("--device", type=parse_device, default="cuda" if torch.cuda.is_available() else "cpu", show_default=True)
@click.option("--threads", type=click.IntRange(1), help="of torch; default all cores, or $OMP_NUM_THREADS")
@click.option("--quick", is_flag=True, help="few repetitions: a rough answer")
def main(
    out: Path, models: tuple[str, ...], size: tuple[int, int], device: torch.device, threads: int | None, quick: bool
) -> None:
    """Measure this machine's dense inference and training."""
    if threads:
        torch.set_num_threads(threads)
    effort = {"min_time": 0.1, "images": 32} if quick else {}
    record = measure(models, size, device, **effort)
    with atomic(out) as temporary:
        temporary.write_text(json.dumps(record, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    for model, result in record["models"].items():
        for name, way in result["ways"].items():
            click.echo(f"{model} {name}: {way['seconds']:.3g} s, {way['times_floor']:.3g} times the floor")
        for precision, rate in result["training"].items():
            click.echo(f"{model} training in {precision}: {rate['images_per_second']:.1f} images a second")


if __name__ == "__main__":
    main()
