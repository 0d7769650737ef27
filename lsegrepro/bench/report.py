"""A benchmark's record: what its keys mean, reading it, and printing it for people. No torch."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from ..files import LsegreproError, read_json

FORMAT = 1
"""Raised when a key changes its meaning or goes."""

KEYS = {
    "format": "version of these keys",
    "lsegrepro": "version of the package",
    "machine.processor": "its name",
    "machine.logical_cores": "processors that the system shows",
    "machine.threads": "threads that torch used",
    "machine.gpu": "the GPU that did the work, or null",
    "machine.tf32_convolutions": "whether its float32 convolutions round to TF32; null without one",
    "machine.torch": "version and build",
    "size": "height and width of the image in pixels",
    "quick": "whether repetitions were few",
    "matrix_product.side": "side n of the float32 matrices",
    "matrix_product.flops_per_second": "2 n^3 over the least time: the machine's rate",
    "matrix_product.median_flops_per_second": "the same over the median time",
    "matrix_product.repetitions": "times it was measured, all through the run",
    "floor.*.flops": "operations of every layer at stride 1 over the image's pixels, multiply-add = 2",
    "floor.*.seconds": "those at the machine's rate",
    "dense.*.ways.*.seconds": "least time of one image",
    "dense.*.ways.*.median_seconds": "median time",
    "dense.*.ways.*.repetitions": "times it was measured",
    "dense.*.ways.*.estimated_from": "the part that was timed and multiplied, or null",
    "dense.*.ways.*.flops": "operations of its convolutions and matrix products",
    "dense.*.ways.*.largest_difference": "of its scores, in [-1, 1], from ours in float32",
    "dense.*.ways.*.peak_bytes": "memory at its peak, beyond program, network and image; null if it ran out",
    "dense.*.ways.*.times_floor": "seconds over the floor's",
    "dense.*.ways.*.times_flops": "operations over the floor's",
    "dense.*.stages.*.seconds": "time of a part of ours in the fastest round, under torch's profiler",
    "dense.*.stages.*.share": "of the whole",
    "dense.*.stages.*.flops": "operations of its layers by definition; null if it has none",
    "dense.*.stages.*.share_of_rate": "those over its seconds, in units of the machine's rate",
    "training.*.*.images_per_second": "the whole loop, images held on the device: draw, jitter, cut, one step of SGD",
    "training.*.*.from_shards_images_per_second": "the same, images decoded from shards for each batch, ahead of it",
    "training.*.*.in_memory_images_per_second": "the same steps on one batch of patches in memory",
    "training.*.*.usual_gradient_images_per_second": "the same, the first layer's gradient taken at every position",
    "training.*.*.ratio": "the first over the third",
    "training.*.*.from_shards_ratio": "the second over the third",
    "training.*.*.loader_ratio": "the second over the first: 1 where the device never waits for an image",
    "training.*.*.gradient_ratio": "the third over the fourth: what leaving out positions without a gradient gains",
    "training.*.*.batch": "images a step",
    "superpixels.images_per_second": "over-segmentation of the photograph, one process",
    "superpixels.superpixels_per_second": "the same in superpixels",
    "superpixels.order_statistic_images_per_second": "the majority vote at every theta",
    "superpixels.superpixels": "their number in the photograph",
    "bootstrap.seconds": "one interval of AP, least time",
    "bootstrap.median_seconds": "median time",
    "bootstrap.repetitions": "times it was measured",
    "bootstrap.resamples": "of the images",
    "bootstrap.images": "as many as VOC 2012 val has",
    "data.photographs": "JPEGs of 375x500 pixels that were written",
    "data.bytes": "of one of them, in the mean",
    "data.preparation.*.processes": "that prepared them into shards",
    "data.preparation.*.images_per_second": "the whole preparation, the start of its processes included",
    "data.preparation.*.images_per_second_per_core": "photographs a second of processor time",
    "data.reading.*.images_per_second": "read, decoded and prepared in random order, one thread, files in the cache",
    "data.reading.*.images_per_second_per_core": "photographs a second of processor time",
}
"""Every key of the record, its path with dots.

``*`` is an architecture, then a way, a stage or a precision; of data, what is read or how many prepare.
"""

WAYS = {
    "patches": "patch by patch",
    "shifts": "shifted passes",
    "dilation": "dilated convolutions",
    "ours": "ours, float32",
    "ours-bfloat16": "ours, bfloat16",
}
"""The ways of dense inference, in words."""


def read_records(folder: str | Path) -> dict[str, dict]:
    """Every benchmark kept in a folder, ``{name}.json``, by name.

    Raises
    ------
    LsegreproError
        If a file holds no record of this format.

    >>> read_records("no such folder")
    {}
    """
    records = {}
    for path in sorted(Path(folder).glob("*.json")):
        records[path.stem] = read_json(path)
        if records[path.stem].get("format") != FORMAT:
            raise LsegreproError(f"{path} is no benchmark of format {FORMAT}: write it again with `lsegrepro bench`")
    return records


def where(record: dict) -> str:
    """The machine in words.

    >>> where({"machine": {"processor": "P", "threads": 1, "gpu": None, "torch": "2"}})
    'P, 1 thread, no GPU, torch 2'
    """
    machine = record["machine"]
    threads = f"{machine['threads']} thread" + "s" * (machine["threads"] > 1)
    return f"{machine['processor']}, {threads}, {machine['gpu'] or 'no GPU'}, torch {machine['torch']}"


def way_rows(dense: dict) -> Iterator[tuple[str, ...]]:
    """Rows of the table of one architecture, as text.

    Way, seconds, times the floor, operations in units of the floor's, peak MiB, largest difference.
    """
    for name in filter(dense["ways"].__contains__, WAYS):
        way = dense["ways"][name]
        about = ", estimated" if way["estimated_from"] else ""
        memory = "–" if way["peak_bytes"] is None else f"{way['peak_bytes'] / 2**20:,.0f}"
        yield (WAYS[name] + about, digits(way["seconds"]), digits(way["times_floor"]), digits(way["times_flops"]),
               memory, f"{way['largest_difference']:.0e}" if way["largest_difference"] else "0")


def stage_rows(dense: dict) -> Iterator[tuple[str, ...]]:
    """Rows of the table of our stages, as text: stage, milliseconds, share of the whole, share of the rate."""
    for name, stage in dense["stages"].items():
        rate = stage["share_of_rate"]
        yield (name, f"{1000 * stage['seconds']:,.1f}", f"{100 * stage['share']:.0f} %",
               "–" if rate is None else f"{rate:.2f}")


def training_rows(training: dict) -> Iterator[tuple[str, ...]]:
    """Rows of the table of training, as text.

    Network, images a second held, from shards and in memory, the ratios of the first two to the third, of
    the second to the first, and of the third to the usual gradient.
    A record of an earlier version has nothing of shards, or of that gradient.
    """
    for model, precisions in training.items():
        for precision, r in precisions.items():
            shards = "from_shards_ratio" in r
            yield (f"{model} {precision}", f"{r['images_per_second']:.1f}",
                   f"{r['from_shards_images_per_second']:.1f}" if shards else "–",
                   f"{r['in_memory_images_per_second']:.1f}", f"{r['ratio']:.2f}",
                   *(f"{r[ratio]:.2f}" if ratio in r else "–"
                     for ratio in ("from_shards_ratio", "loader_ratio", "gradient_ratio")))


def data_rows(data: dict) -> Iterator[tuple[str, ...]]:
    """Rows of the table of photographs, as text: what is done, images a second, images a second of a core."""
    done = {f"prepare, {r['processes']} process{'es' * (r['processes'] > 1)}": r for r in data["preparation"].values()}
    done |= {f"read {kind}": r for kind, r in data["reading"].items()}
    for words, r in done.items():
        yield words, digits(r["images_per_second"]), digits(r["images_per_second_per_core"])


def digits(value: float) -> str:
    """Three digits that count.

    >>> [digits(x) for x in (0.01234, 1.234, 123.4, 1234.0)]
    ['0.0123', '1.23', '123', '1,234']
    """
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def as_text(record: dict) -> str:
    """The record as tables for people."""
    height, width = record["size"]
    product = record["matrix_product"]
    lines = [
        f"lsegrepro {record['lsegrepro']}; {where(record)}",
        f"matrix product of {product['side']}^3, float32: {product['flops_per_second'] / 1e9:,.0f} GFLOP/s at best, "
        f"{product['median_flops_per_second'] / 1e9:,.0f} in the median of {product['repetitions']}",
    ]
    for model, dense in record.get("dense", {}).items():
        floor = record["floor"][model]
        lines += ["", f"Dense inference, {model}, {height}x{width}: {floor['flops'] / 1e9:,.1f} GFLOP, "
                  f"floor {digits(floor['seconds'])} s"]
        lines += _aligned(["way", "seconds", "x floor", "operations", "MiB", "difference"], list(way_rows(dense)))
        lines += ["", f"Ours in float32, {model}, by stage"]
        lines += _aligned(["stage", "ms", "share", "of rate"], list(stage_rows(dense)))
    if "dense" in record:
        lines += ["", *_EXPLAINED]
    if "training" in record:
        lines += ["", "Training, images a second: the whole loop, its images held, or decoded from shards on the way;",
                  "the same steps on a batch in memory; the ratio of each loop to that, and of one loop to the other;",
                  "of the steps in memory to the same with the first layer's gradient taken at every position"]
        lines += _aligned(["network", "held", "from shards", "in memory", "held/memory", "shards/memory",
                           "shards/held", "maxima/all"],
                          list(training_rows(record["training"])))
    if "superpixels" in record:
        s, b = record["superpixels"], record["bootstrap"]
        lines += ["", f"Superpixels, one process: {s['images_per_second']:.2f} images/s, "
                  f"{s['superpixels_per_second']:,.0f} superpixels/s; order statistic "
                  f"{s['order_statistic_images_per_second']:,.0f} images/s",
                  f"Bootstrap, {b['resamples']:,} resamples of {b['images']:,} images: {b['seconds']:.2f} s"]
    if "data" in record:
        lines += ["", f"Photographs of 375x500 pixels, {record['data']['bytes'] / 1000:.0f} kB: images a second, and a "
                  "second of one core's time"]
        lines += _aligned(["done", "images/s", "per core"], list(data_rows(record["data"])))
    return "\n".join(lines)


_EXPLAINED = (
    "seconds     least time of one image; estimated from a part of the work where the way says so",
    "x floor     those seconds in units of the floor, the operations at the rate of the matrix product",
    "operations  of the way's convolutions and matrix products, in units of the floor's",
    "MiB         memory at its peak, in a process of its own, beyond program, network and image",
    "difference  largest, of the scores in [-1, 1], from ours in float32",
    "of rate     operations of the stage's layers by definition, a second, in units of the matrix product's rate",
)


def _aligned(header: list[str], rows: list[tuple[str, ...]]) -> list[str]:
    """Columns of text: the first to the left, the others to the right."""
    widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]
    return ["  ".join(cell.ljust(n) if i == 0 else cell.rjust(n) for i, (cell, n) in
                      enumerate(zip(row, widths, strict=True))) for row in (header, *rows)]
