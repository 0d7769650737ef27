"""From evidence to numbers: exact curves, AP, accuracies, intervals and baselines. NumPy alone.

What the paper calls AP is intersection over union, TP / (TP + FP + FN), with the pixels of
all images pooled (its footnote 2); here too, and `ap` is IoU throughout. Void pixels are in no
count. Counts of pixels travel as integer arrays (..., 4) in the order TP, FP, FN, TN.

A probability is kept as a 16-bit code, floor(p * 65535), and "p > theta" is
``code > theta * 65535``. So a curve over theta changes at no more than 65,536 places and is
held whole: nothing is sampled.
"""

from .baselines import (
    Classification,
    ThreeWay,
    centred_box_counts,
    classification_accuracy,
    classification_counts,
    everything_foreground,
    nothing_foreground,
    three_way,
    trivial_classification,
)
from .choices import best_answers, resampled_counts
from .counts import (
    Counts,
    accuracy,
    ap,
    background_accuracy,
    balanced_accuracy,
    foreground_accuracy,
    per_image_counts,
    present,
    raw_grid_counts,
    smoothed_grid_counts,
    threshold,
)
from .curves import Curve, curve, raw_curve, smoothed_curve
from .intervals import (
    Interval,
    Statistic,
    bootstrap,
    bootstrap_difference,
    bootstrap_draws,
    bootstrap_p_value,
    holm,
)
from .trends import LAWS, Growth, growth

__all__ = [
    "Classification", "Counts", "Curve", "Growth", "Interval", "LAWS", "Statistic", "ThreeWay",
    "accuracy", "ap", "background_accuracy", "balanced_accuracy", "best_answers", "bootstrap",
    "bootstrap_difference", "bootstrap_draws", "bootstrap_p_value", "centred_box_counts", "classification_accuracy",
    "classification_counts", "curve", "everything_foreground", "foreground_accuracy", "growth",
    "holm", "nothing_foreground", "per_image_counts", "present", "raw_curve", "raw_grid_counts", "resampled_counts", "smoothed_curve",
    "smoothed_grid_counts", "three_way", "threshold", "trivial_classification",
]  # fmt: skip
