"""Figures 2 to 6, Table 2, and the charts of the chapters, in one style (numpy and matplotlib, never torch)."""

from ..runs.comparisons import Row
from .charts import gradient_weights, tempered_family, training_curves
from .overlays import heat, overlay
from .pictures import Result, figure_2, figure_4, figure_6
from .style import show
from .sweep import Sweep, ThetaLine, ThetaMark, figure_5, sweeps
from .tables import table_2_dots, table_2_html

__all__ = [
    "Result", "Row", "Sweep", "ThetaLine", "ThetaMark", "figure_2", "figure_4", "figure_5", "figure_6",
    "gradient_weights", "heat", "overlay", "show", "sweeps", "table_2_dots", "table_2_html", "tempered_family",
    "training_curves",
]
