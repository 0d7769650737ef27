"""What the paper prints, as data: Table 1, Table 2, theta, scores and counts; percentages as they are printed.

Pinheiro and Collobert, "Weakly Supervised Object Segmentation with Convolutional Neural Networks", Idiap, 2014.
"""

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Architecture:
    """One column of Table 1: five layers, the first two followed by max-pooling."""

    name: str
    hidden: tuple[int, int, int, int]  # units of the first four layers; the fifth has 2, foreground and background
    filters: tuple[int, int, int]  # side of the three convolution filters
    # Side of the two max-pooling windows. In training the stride equals the side: Table 1 prints 1x1, but its own input
    # sizes force this.
    pools: tuple[int, int]
    patch: int  # side of the input patch, sz
    patches: int  # patches cut from one training image, N
    printed_parameters: int  # the count of parameters that Table 1 prints


ARCHITECTURES = {
    "LSE1": Architecture("LSE1", (40, 80, 160, 320), (8, 3, 5), (4, 4), 95, 9, 408_922),
    # Table 1 prints the widths 40-80 and the count 886,872 for LSE2. The count is that of
    # 50-100; 40-80 has 712,762. The printed count is the default, both can be trained.
    "LSE2": Architecture("LSE2", (50, 100, 160, 320), (6, 3, 7), (8, 2), 133, 4, 886_872),
    "LSE2-40-80": Architecture("LSE2-40-80", (40, 80, 160, 320), (6, 3, 7), (8, 2), 133, 4, 886_872),
}
"""The architectures by name. max1 and max2 are LSE1 and LSE2 with another aggregation: see `MODELS`."""

MODELS = {"max1": ("LSE1", "max"), "LSE1": ("LSE1", "lse"), "max2": ("LSE2", "max"), "LSE2": ("LSE2", "lse")}
"""The four models of Table 2, in its order: name -> (architecture, aggregation)."""

CLASSES = ("cat", "dog")

VOC_INDEX = {"cat": 8, "dog": 12}
"""Value of each class in the palette masks of Pascal VOC; 255 is void."""

IMAGE_SIDE = 300
"""Side of a training image in pixels (Section 3.1)."""

LEARNING_RATE = 0.001
"""Fixed rate of plain SGD (Section 4)."""

THETA = {"cat": 0.6, "dog": 0.8}
"""Confidence thresholds picked by grid search (Section 4)."""


@dataclass(frozen=True)
class Row:
    """One class of one row of Table 2, in percent: pixel accuracies and AP."""

    foreground: float
    background: float
    ap: float


TABLE_2 = {
    "max1": {"cat": Row(32.29, 99.02, 22.91), "dog": Row(56.66, 96.28, 19.24)},
    "LSE1": {"cat": Row(49.25, 98.96, 34.36), "dog": Row(49.33, 97.97, 21.15)},
    "max2": {"cat": Row(40.46, 97.93, 21.70), "dog": Row(40.96, 96.89, 16.52)},
    "LSE2": {"cat": Row(56.50, 97.74, 29.07), "dog": Row(43.12, 96.89, 17.65)},
}

CLASSIFICATION = {"cat": 92.48, "dog": 85.70}
"""Image classification accuracy of LSE1 on VOC 2012 val, in percent (Section 4)."""

TRAINING_IMAGES = {"cat": 37_345, "dog": 187_775, "background": 1_200_000}
"""ImageNet photographs (Section 3.1); the background count is "around 1.2M"."""


def other_class_share(cls: str) -> float:
    """Share of the images without a class that show the other class, in the paper's pool used whole.

    >>> [round(other_class_share(cls), 3) for cls in CLASSES]
    [0.135, 0.03]
    """
    others = sum(count for name, count in TRAINING_IMAGES.items() if name not in (cls, "background"))
    return others / (others + TRAINING_IMAGES["background"])


SYNSETS = {"cat": "n02121620", "dog": "n02084071"}

VAL_IMAGES = 1449
"""Images of VOC 2012 val."""

VAL_IMAGES_WITH_CLASS = {"cat": 119, "dog": 128}
"""Val images with at least one pixel of the class, counted from the public masks (not in the paper)."""


CEILING = 1 / (1 + math.exp(-2))
"""Largest probability of a patch, 0.8808: the tanh bounds both scores by 1 (equation 5)."""

FLOOR = 1 - CEILING
"""Smallest probability of a patch, 0.1192."""

LOSS_FLOOR = -math.log(CEILING)
"""Lowest loss of a sample, 0.1269, in nats: the two LSE scores differ by at most 2."""

LOSS_START = math.log(2)
"""Loss of a network that cannot tell the classes apart, in nats."""


def plateau_loss(other_share: float) -> float:
    """Loss of a network that tells animals from backgrounds perfectly and the two classes not at all, in nats.

    Half of the samples hold the class; of the others, the share `other_share` shows the other class
    (`other_class_share`). The network gives all animals one probability, the share of the class among them, and
    backgrounds the lowest.

    >>> round(plateau_loss(0.5), 3), plateau_loss(0.0) == LOSS_FLOOR
    (0.509, True)
    """
    animals = (1 + other_share) / 2
    p = min(0.5 / animals, CEILING)
    return -0.5 * math.log(p) - (animals - 0.5) * math.log(1 - p) + (1 - animals) * LOSS_FLOOR
