"""How much the parameters of the superpixels matter, measured on VOC train; val takes no part.

The paper names its superpixels and no parameter of them (Section 3.3). `search` tries a grid on
the train split and chooses by the AP of the networks at hand. What it measures is kept in one
sealed file of the run, ``evidence/superpixels-train.npz``, image by image, so that every
number and interval can be computed again with neither torch nor photographs.
"""

from .measuring import kept, measure, record_path, search
from .record import ASKED, FLOOR, RULE, Sensitivity, Setting, achievable, edges, read, remaining, write

__all__ = [
    "ASKED", "FLOOR", "RULE", "Sensitivity", "Setting", "achievable", "edges", "kept", "measure", "read", "record_path",
    "remaining", "search", "write",
]  # fmt: skip
