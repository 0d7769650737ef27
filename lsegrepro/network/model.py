"""PatchNet, the paper's network (Section 3.2, Table 1), and the aggregations of its scores.

Everything here works on tensors alone: no file, no image, no training state.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

from .. import paper
from ..config import parse_aggregation
from ..files import LsegreproError
from .gradients import pooled_convolution

INITIAL_BOUNDS = {
    "torch7": lambda fan_in: 1 / math.sqrt(fan_in),
    "literal": lambda fan_in: math.sqrt(3 * math.sqrt(fan_in)),  # a uniform variable on +-b has variance b^2 / 3
}
"""Largest initial weight of a layer by the name of the initialisation."""


class PatchNet(nn.Module):
    """Scores of one patch for foreground and background: F of equation (2).

    Three convolutions, two of them followed by max-pooling, and two full layers, with a tanh after each::

        H1 = tanh(pool(W1 X + b1))        H2 = tanh(pool(W2 H1 + b2))
        Yf = tanh(W3 H2 + b3)             F = tanh(W5 tanh(W4 Yf + b4) + b5)

    Parameters
    ----------
    initialisation : {"torch7", "literal"}
        Initial weights and biases are uniform with mean zero. ``"torch7"`` draws from +-1/sqrt(m), m the fan-in, as the
        paper's software did. ``"literal"`` takes the sentence of Section 4, "variance sigma = sqrt(m)", at its word:
        +-sqrt(3 sqrt(m)).
    generator : torch.Generator, optional
        Source of the initial weights.
    output : {"tanh", "linear"}
        Whether the last layer ends in the tanh of equation (2), or its scores are unbounded: not the paper's.

    Examples
    --------
    >>> net = PatchNet(paper.ARCHITECTURES["LSE1"])
    >>> net(torch.zeros(9, 3, 95, 95)).shape                # (patches, classes)
    torch.Size([9, 2])
    >>> sum(p.numel() for p in net.parameters())
    408922
    """

    def __init__(
        self, architecture: paper.Architecture, *, initialisation: str = "torch7",
        generator: torch.Generator | None = None, output: str = "tanh",
    ) -> None:
        super().__init__()
        self.architecture, self.output = architecture, output
        h1, h2, h3, h4 = architecture.hidden
        k1, k2, k3 = architecture.filters
        self.conv1 = nn.Conv2d(3, h1, k1)
        self.conv2 = nn.Conv2d(h1, h2, k2)
        self.conv3 = nn.Conv2d(h2, h3, k3)
        self.full4 = nn.Linear(h3, h4)
        self.full5 = nn.Linear(h4, 2)
        for layer in (self.conv1, self.conv2, self.conv3, self.full4, self.full5):
            bound = INITIAL_BOUNDS[initialisation](layer.weight[0].numel())
            nn.init.uniform_(layer.weight, -bound, bound, generator=generator)
            nn.init.uniform_(layer.bias, -bound, bound, generator=generator)

    def forward(self, patches: Tensor) -> Tensor:
        """Score patches (M, 3, sz, sz) in [-1, 1]: (M, 2), column 0 foreground, column 1 background.

        Raises `LsegreproError` if the patches do not have the size of the architecture.
        """
        sz = self.architecture.patch
        if patches.dim() != 4 or tuple(patches.shape[1:]) != (3, sz, sz):
            raise LsegreproError(
                f"{self.architecture.name} takes patches of shape (M, 3, {sz}, {sz}), got {tuple(patches.shape)}"
            )
        p1, p2 = self.architecture.pools
        x = torch.tanh(pooled_convolution(patches, self.conv1.weight, self.conv1.bias, p1))  # (M, h1, s2, s2)
        x = torch.tanh(functional.max_pool2d(self.conv2(x), p2))  # (M, h2, s3, s3)
        x = torch.tanh(self.conv3(x)).flatten(1)  # (M, h3)
        x = torch.tanh(self.full4(x))  # (M, h4)
        return self.bound(self.full5(x))  # (M, 2)

    def bound(self, scores: Tensor, tanh: Callable[[Tensor], Tensor] = torch.tanh) -> Tensor:
        """The end of the last layer: scores through tanh, or as they are."""
        return tanh(scores) if self.output == "tanh" else scores


def lse(scores: Tensor) -> Tensor:
    r"""Log-sum-exp over patches, equations (1) and (3): :math:`f_c = \log \sum_i e^{F_{i,c}}`.

    Its gradient on patch i is the softmax weight :math:`e^{F_i} / \sum_j e^{F_j}`, so two equally likely patches get
    the same gradient. Stable at any magnitude.

    >>> round(lse(torch.tensor([[[1000.0], [1000.0]]])).item() - 1000, 3)
    0.693
    """
    return torch.logsumexp(scores, 1)


def maximum(scores: Tensor) -> Tensor:
    """Largest score over patches; the gradient goes to one patch alone (models max1, max2).

    >>> maximum(torch.tensor([[[0.25], [0.75]]]))
    tensor([[0.7500]])
    """
    return scores.max(1).values


def mean(scores: Tensor) -> Tensor:
    """Mean score over patches: every patch gets the same gradient, 1/N.

    >>> mean(torch.tensor([[[0.25], [0.75]]]))
    tensor([[0.5000]])
    """
    return scores.mean(1)


def tempered(scores: Tensor, r: float = 1.0) -> Tensor:
    r"""Log-sum-exp with a temperature, from the mean (r -> 0) to the maximum (r -> infinity).

    :math:`\frac{1}{r} \log \frac{1}{N} \sum_i e^{r x_i}`, as in the authors' follow-up (CVPR 2015). At r = 1 it
    is `lse` less the constant :math:`\log N`, which the softmax over two classes cancels: they train the same model.
    Raises `LsegreproError` if `r` is not positive.

    >>> x = torch.tensor([[[0.0], [1.0]]])
    >>> [round(tempered(x, r).item(), 2) for r in (0.001, 1, 1000)]
    [0.5, 0.62, 1.0]
    """
    if not r > 0:
        raise LsegreproError(f"the temperature parameter r must be positive, got {r}; r -> 0 is aggregation 'mean'")
    # About the maximum, and in expm1 and log1p, every r keeps its digits, 1e-8 as well as 1e8.
    top = scores.detach().amax(1, keepdim=True)
    return top.squeeze(1) + torch.log1p(torch.expm1((scores - top) * r).mean(1)) / r


AGGREGATIONS: dict[str, Callable[[Tensor], Tensor]] = {"lse": lse, "max": maximum, "mean": mean}
"""Aggregations by name: (B, N, 2) patch scores -> (B, 2) image scores."""


def aggregation(name: str) -> Callable[[Tensor], Tensor]:
    """Find an aggregation by name: lse, max, mean, or ``tempered:R`` with R > 0.

    >>> aggregation("tempered:4")(torch.zeros(1, 9, 2))
    tensor([[0., 0.]])
    """
    kind, r = parse_aggregation(name)
    return AGGREGATIONS[kind] if kind in AGGREGATIONS else lambda scores: tempered(scores, r)


def loss(image_scores: Tensor, labels: Tensor) -> Tensor:
    """Negative log-likelihood of the aggregated scores, equation (4), averaged over the batch.

    Takes image scores (B, 2), f1 foreground and f2 background, and labels (B,) int64: 0 where the image holds the class
    (the paper's y = 1), 1 where not (y = 2).

    >>> round(loss(torch.tensor([[1.0, -1.0]]), torch.tensor([0])).item(), 4)    # the floor
    0.1269
    """
    return functional.cross_entropy(image_scores, labels)


def loss_of_each_negative(image_scores: Tensor, scores: Tensor, labels: Tensor) -> Tensor:
    """`loss` in which each patch of an image without the class is a sample by itself, so that all get a gradient.

    A reading of "for each positive training sample" in Section 3.2: only there the maximum alone is trained. Takes the
    patch scores (B, N, 2) too; the loss of an image is the mean over its patches.

    >>> scores = torch.tensor([[[1.0, -1.0], [-1.0, 1.0]]])
    >>> round(loss_of_each_negative(maximum(scores), scores, torch.tensor([1])).item(), 4)  # (0.1269 + 2.1269) / 2
    1.1269
    """
    aggregated = functional.cross_entropy(image_scores, labels, reduction="none")
    each = -functional.log_softmax(scores, dim=2)[..., 1].mean(1)
    return torch.where(labels == 1, each, aggregated).mean()


def foreground_probability(scores: Tensor) -> Tensor:
    """Softmax probability of foreground, p(c = 1 | x), from scores (..., 2).

    >>> round(foreground_probability(torch.tensor([1.0, -1.0])).item(), 4)  # of a tanh no more: `paper.CEILING`
    0.8808
    """
    return torch.sigmoid(scores[..., 0] - scores[..., 1])
