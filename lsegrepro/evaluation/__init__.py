"""From evidence to numbers: exact curves, AP, accuracies, intervals and baselines. NumPy alone.

What the paper calls AP is intersection over union, TP / (TP + FP + FN), with the pixels of all images pooled (its
footnote 2); here too, and `ap` is IoU throughout. Void pixels are in no count. Counts of pixels are integer arrays
(..., 4) in the order TP, FP, FN, TN. Functions of regions and scores raise `LsegreproError` where the scores belong to
other regions. A probability is stored in 16 bits, prob_u16 = floor(p * 65535), and "p > theta" is ``prob_u16 > theta *
65535``. So a curve over theta changes at no more than 65,536 places and is stored whole: nothing is sampled.
"""

# isort: skip_file
from .baselines import centred_box_counts, everything_foreground, gated_box, nothing_foreground, three_way
from .classification import auc, classification_counts, image_auc, image_margin
from .counts import (
    accuracy, ap, background_accuracy, balanced_accuracy, foreground_accuracy, per_image_counts, present,
    raw_grid_counts, smoothed_grid_counts, threshold,
)  # fmt: skip
from .curves import Curve, curve, raw_curve, smoothed_curve
from .intervals import (
    Difference, Interval, Statistic, TableRow, best_answers, bootstrap, bootstrap_difference, bootstrap_draws,
    bootstrap_p_value, chosen_counts, holm, resampled_counts,
)  # fmt: skip

__all__ = [
    "Curve", "Difference", "Interval", "Statistic", "TableRow", "accuracy", "ap", "auc",
    "background_accuracy", "balanced_accuracy", "best_answers", "bootstrap", "bootstrap_difference",
    "bootstrap_draws", "bootstrap_p_value", "centred_box_counts", "chosen_counts", "classification_counts", "curve",
    "everything_foreground", "foreground_accuracy", "gated_box", "holm", "image_auc", "image_margin",
    "nothing_foreground", "per_image_counts", "present", "raw_curve", "raw_grid_counts",
    "resampled_counts", "smoothed_curve", "smoothed_grid_counts", "three_way", "threshold",
]  # fmt: skip
