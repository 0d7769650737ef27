"""A chart of speed: the time of each way to a score for every pixel, in units of the machine's floor."""

from __future__ import annotations

from matplotlib.figure import Figure

from .style import INK, WIDTH, model_style, styled

METHODS = {"patches": "patch by patch", "shifts": "shifted passes", "dilation": "dilated convolutions",
           "ours": "fragments, float32", "ours-bfloat16": "fragments, bfloat16"}
"""Key in a record of ``benchmarks.measure`` to the name of the method."""


def machine_name(record: dict) -> str:
    """The machine of a record of ``benchmarks.measure``.

    >>> machine_name({"machine": {"processor": "EPYC", "threads": 2, "gpu": None, "torch": "2.13"}})
    'EPYC, 2 threads, no GPU, torch 2.13'
    """
    machine = record["machine"]
    gpu = machine["gpu"] or "no GPU"
    return f"{machine['processor']}, {machine['threads']} threads, {gpu}, torch {machine['torch']}"


@styled
def speed_chart(record: dict) -> Figure:
    """Bars: the time of each method over that of matrix products with as many operations, a panel a network.

    Parameters
    ----------
    record : dict
        As ``benchmarks.measure`` writes it; its ratios are of one run on one machine.
    """
    figure = Figure(figsize=(WIDTH, 2.6))
    panels = figure.subplots(1, len(record["models"]), sharey=True, sharex=True, squeeze=False)[0]
    texts = []
    for axes, (model, measured) in zip(panels, record["models"].items(), strict=True):
        ratios = {METHODS[key]: way["times_floor"] for key, way in measured["ways"].items()}
        bars = axes.barh(list(ratios), list(ratios.values()), height=0.62, color=model_style(model)[0])
        axes.bar_label(bars, [f"{ratio:.3g}" for ratio in ratios.values()], padding=4, fontsize=8.5)
        axes.axvline(1, color=INK, linewidth=1, dashes=(4, 2))
        axes.set(title=model, xscale="log", xlim=(0.3, 5 * max(ratios.values())), xlabel="time in units of the floor")
        axes.xaxis.set_major_formatter("{x:g}")
        axes.grid(axis="y", visible=False)
        axes.tick_params(axis="y", length=0)
        texts += [f"{model}, {name}: {ratio:.3g}" for name, ratio in ratios.items()]
    panels[0].invert_yaxis()
    figure.alt = "Time of one image in units of the floor. " + "; ".join(texts) + "."
    return figure
