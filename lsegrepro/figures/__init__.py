"""Figures 2 to 6, Table 2, and the charts of the chapters, in one style (NumPy and matplotlib, never torch)."""

from .charts import (
    gradient_weights,
    growth_curve,
    images_seen_curve,
    iou_ranks,
    temperature_curve,
    tempered_family,
    training_curves,
    union_share_bars,
)
from .differences import board, effects, forest
from .overlays import heat, overlay
from .pictures import Figure6Column, figure_2, figure_4, figure_6
from .style import show
from .sweep import ThetaLine, ThetaMark, figure_5
from .tables import table_2_dots, table_2_html

__all__ = [
    "Figure6Column", "ThetaLine", "ThetaMark", "board", "effects", "figure_2", "figure_4", "figure_5",
    "figure_6", "forest", "gradient_weights", "growth_curve", "heat", "images_seen_curve", "iou_ranks", "overlay",
    "show", "table_2_dots", "table_2_html", "temperature_curve", "tempered_family", "training_curves",
    "union_share_bars",
]  # fmt: skip
