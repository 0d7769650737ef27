"""A chart of the benchmark: each way of dense inference against the floor."""

from __future__ import annotations

from matplotlib.figure import Figure
from matplotlib.patches import Patch

from ..bench.report import WAYS, digits
from .style import INK, MUTED, WIDTH, model_style, styled


@styled
def ways_chart(record: dict) -> Figure:
    """Time of each way in units of the floor, on a logarithmic axis, a panel for each architecture.

    Parameters
    ----------
    record : dict
        Of `lsegrepro.bench`, with its stage "dense"; see `bench.report.KEYS`.
    """
    panels = record["dense"]
    figure = Figure(figsize=(WIDTH, 2.7))
    axes = figure.subplots(1, len(panels), sharey=True, sharex=True, squeeze=False)[0]
    largest = max(way["times_floor"] for dense in panels.values() for way in dense["ways"].values())
    ways = {name: words for name, words in WAYS.items() if all(name in dense["ways"] for dense in panels.values())}
    said = []
    for axis, (model, dense) in zip(axes, panels.items(), strict=True):
        for y, (name, words) in enumerate(ways.items()):
            way = dense["ways"][name]
            times, estimated = way["times_floor"], bool(way["estimated_from"])
            axis.barh(y, times, height=0.62, color="white" if estimated else model_style(model)[0],
                      edgecolor=model_style(model)[0], hatch="////" if estimated else None, linewidth=1)
            axis.annotate(digits(times), (times, y), (5, 0), textcoords="offset points", va="center", fontsize=8.5,
                          bbox={"facecolor": "white", "edgecolor": "none", "pad": 1})
            said.append(f"{model}, {words}: {digits(times)}" + " (estimated)" * estimated)
        axis.axvline(1, color=INK, linewidth=1, dashes=(4, 2))
        axis.set(title=model, xscale="log", xlim=(0.3, largest * 5), yticks=range(len(ways)),
                 yticklabels=ways.values(), ylim=(len(ways) - 0.5, -0.5), xlabel="time in units of the floor")
        axis.xaxis.set_major_formatter("{x:g}")
        axis.xaxis.set_minor_formatter("")
        axis.tick_params(axis="y", length=0)
        axis.grid(axis="y", visible=False)
    figure.legend(handles=[Patch(facecolor=MUTED, label="measured"),
                           Patch(facecolor="white", edgecolor=MUTED, hatch="////", label="estimated from a part")],
                  loc="outside upper left", ncols=2)
    figure.alt = f"Time of one image in units of the floor. {'; '.join(said)}. The floor is 1."
    return figure
