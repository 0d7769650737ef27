"""What the paper prints, as data: Table 1, Table 2, theta, scores and counts.

Pinheiro and Collobert, "Weakly Supervised Object Segmentation with Convolutional Neural Networks", Idiap, 2014. Every
comparison in the book reads the paper's numbers from this module. Percentages are written as the paper prints them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Architecture:
    """One column of Table 1: five layers, the first two followed by max-pooling.

    Attributes
    ----------
    name : str
        ``"LSE1"`` or ``"LSE2"`` (max1 and max2 share them), or a named variant.
    hidden : tuple of int
        Units of the first four layers; the fifth has 2, foreground and background.
    filters : tuple of int
        Side of the three convolution filters.
    pools : tuple of int
        Side of the two max-pooling windows. In training the stride equals the side: Table 1 prints 1x1, but its own
        input sizes force this.
    patch : int
        Side of the input patch, sz.
    patches : int
        Patches cut from one training image, N.
    printed_parameters : int
        The count of parameters that Table 1 prints.
    """

    name: str
    hidden: tuple[int, int, int, int]
    filters: tuple[int, int, int]
    pools: tuple[int, int]
    patch: int
    patches: int
    printed_parameters: int

    @property
    def input_sizes(self) -> tuple[int, int, int, int, int]:
        """Side of each layer's input, the row "Input Size, sz" of Table 1.

        >>> ARCHITECTURES["LSE1"].input_sizes
        (95, 22, 5, 1, 1)
        """
        second = (self.patch - self.filters[0] + 1) // self.pools[0]
        third = (second - self.filters[1] + 1) // self.pools[1]
        fourth = third - self.filters[2] + 1
        return (self.patch, second, third, fourth, 1)

    @property
    def parameters(self) -> int:
        """Weights and biases, counted from the layers.

        >>> ARCHITECTURES["LSE1"].parameters, ARCHITECTURES["LSE2"].parameters
        (408922, 886872)
        """
        inputs = (3, *self.hidden)
        outputs = (*self.hidden, 2)
        areas = (*(side**2 for side in self.filters), 1, 1)
        return sum(o * (i * a + 1) for i, o, a in zip(inputs, outputs, areas, strict=True))


_LSE2 = dict(filters=(6, 3, 7), pools=(8, 2), patch=133, patches=4, printed_parameters=886_872)

ARCHITECTURES = {
    "LSE1": Architecture("LSE1", (40, 80, 160, 320), (8, 3, 5), (4, 4), 95, 9, 408_922),
    # Table 1 prints the widths 40-80 and the count 886,872 for LSE2. The count is that of
    # 50-100; 40-80 has 712,762. The printed count is the default, both can be trained.
    "LSE2": Architecture("LSE2", (50, 100, 160, 320), **_LSE2),
    "LSE2-40-80": Architecture("LSE2-40-80", (40, 80, 160, 320), **_LSE2),
}
"""The architectures by name. max1 and max2 are LSE1 and LSE2 with another aggregation: see `MODELS`."""

TABLE_1_AS_PRINTED = {
    "LSE1": {
        "Stage": ("conv+max", "conv+max", "conv", "full", "full"),
        "# Hidden Units": (40, 80, 160, 320, 2),
        "Filter size": ("8x8", "3x3", "5x5", "-", "-"),
        "Conv. stride": ("1x1", "1x1", "1x1", "-", "-"),
        "Pool. size": ("4x4", "4x4", "-", "-", "-"),
        "Pool. stride": ("1x1", "1x1", "-", "-", "-"),
        "Input Size, sz": ("95x95", "22x22", "5x5", "1x1", "1x1"),
        "# Patches, N": 9,
        "# Parameters": 408_922,
    },
    "LSE2": {
        "Stage": ("conv+max", "conv+max", "conv", "full", "full"),
        "# Hidden Units": (40, 80, 160, 320, 2),
        "Filter size": ("6x6", "3x3", "7x7", "-", "-"),
        "Conv. stride": ("1x1", "1x1", "1x1", "-", "-"),
        "Pool. size": ("8x8", "2x2", "-", "-", "-"),
        "Pool. stride": ("1x1", "1x1", "-", "-", "-"),
        "Input Size, sz": ("133x133", "16x16", "7x7", "1x1", "1x1"),
        "# Patches, N": 4,
        "# Parameters": 886_872,
    },
}
"""Table 1 to the letter, contradictions included."""

MODELS = {
    "max1": ("LSE1", "max"),
    "LSE1": ("LSE1", "lse"),
    "max2": ("LSE2", "max"),
    "LSE2": ("LSE2", "lse"),
}
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

SUPERVISED = {"cat": (53.5, 49.0), "dog": (42.2, 47.4)}
"""AP of the two winners of VOC 2012, trained on full annotation, in percent (Section 4)."""

TRAINING_IMAGES = {"cat": 37_345, "dog": 187_775, "background": 1_200_000}
"""ImageNet photographs (Section 3.1); the background count is "around 1.2M"."""


def other_class_share(cls: str) -> float:
    """Share of the images without a class that show the other class, in the paper's pool used whole.

    >>> [round(other_class_share(cls), 3) for cls in CLASSES]
    [0.135, 0.03]
    """
    others = sum(count for name, count in TRAINING_IMAGES.items() if name not in (cls, "background"))
    return others / (others + TRAINING_IMAGES["background"])


SUBCLASSES = {"cat": 30, "dog": 164}
"""Sub-classes of ImageNet below each class (Section 3.1)."""

SYNSETS = {"cat": "n02121620", "dog": "n02084071"}

VAL_IMAGES = 1449
"""Images of VOC 2012 val."""

VAL_CLAIMED = {"cat": 132, "dog": 150}
""""containing 132 cats and 150 dogs" (Section 4)."""

VAL_IMAGES_WITH_CLASS = {"cat": 119, "dog": 128}
"""Val images with at least one pixel of the class, counted from the public masks (not in the paper)."""


def architecture(model: str) -> Architecture:
    """The architecture of a model of Table 2, or of that name; raises KeyError if it is neither.

    >>> architecture("max1").name
    'LSE1'
    """
    return ARCHITECTURES[MODELS[model][0] if model in MODELS else model]


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

    Half of the samples hold the class. The network gives all animals one probability, the share of the class among
    them, and backgrounds the lowest.

    Parameters
    ----------
    other_share : float
        Share of the samples without the class that show the other class; see `other_class_share`.

    >>> round(plateau_loss(0.5), 3), plateau_loss(0.0) == LOSS_FLOOR
    (0.509, True)
    """
    animals = (1 + other_share) / 2
    p = min(0.5 / animals, CEILING)
    return -0.5 * math.log(p) - (animals - 0.5) * math.log(1 - p) + (1 - animals) * LOSS_FLOOR
