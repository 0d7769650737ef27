"""Evidence: what scoring a set leaves behind, enough for every number of the book, and no photograph.

Two kinds of file: `Regions`, once per data split and superpixel parameters, and `Scores`, per network and split.
`scoring` computes them with torch; NumPy alone is needed to read them.
"""

# isort: skip_file
from .builders import RegionsBuilder, ScoresBuilder
from .records import (
    BOX_FRACTIONS, COLUMNS, GRID, VOID, Regions, Scores, read_regions, read_scores, write_regions, write_scores,
)  # fmt: skip

__all__ = [
    "BOX_FRACTIONS", "COLUMNS", "GRID", "VOID", "Regions", "RegionsBuilder", "Scores", "ScoresBuilder",
    "read_regions", "read_scores", "write_regions", "write_scores",
]  # fmt: skip
