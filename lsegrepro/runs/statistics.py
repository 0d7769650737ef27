"""Descriptive statistics of a run that only photographs, masks and weights can tell, kept as small JSON files.

``lsegrepro statistics`` computes each where the photographs are and writes ``statistics/{name}.json`` into the run's
folder: numbers alone, no picture. Pages read them with `read_statistics`. Masks are read to describe the evaluation
data; nothing of it reaches a training.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from .. import evaluation, paper
from ..data import LABELS, WeakSet, label_codes
from ..files import LsegreproError, read_json, read_npz, write_json
from .folder import RunFolder, require_file, require_same
from .published import copy_file, published_file

if TYPE_CHECKING:
    from torch import Tensor

    from ..network.model import PatchNet

BAGS = 4  # bags of patches drawn from each image by `patch_coverage`
PER_SOURCE = 100  # most held-out images of one label and source that `accuracy_within_sources` classifies


def statistics_path(run: RunFolder, name: str) -> Path:
    """Where one of `STATISTICS` is kept."""
    return run.folder / "statistics" / f"{name}.json"


def read_statistics(run: RunFolder, name: str) -> dict[str, Any]:
    """Read one of `STATISTICS` of a run, as the function of that name returned it.

    Raises `LsegreproError` if the file is absent, or was computed on other images or weights than the run's.
    """
    path = statistics_path(run, name)
    require_file(run, path, "statistics")
    content, digests = read_json(path), _digests(run)
    require_same(run, path, {key: digests[key] for key in content["inputs"] if key in digests}, content["inputs"])
    return content["values"]


def write_statistics(run: RunFolder) -> list[Path]:
    """Compute each of `STATISTICS` that is missing; at depth weights, take the published ones of the training."""
    digests = _digests(run)
    for name, compute in STATISTICS.items():
        path = statistics_path(run, name)
        if run.depth == "weights" and name in OF_TRAINING and not path.is_file():
            copy_file(published_file(path), path)
        elif not path.is_file():
            inputs = {key: value for key, value in digests.items() if (key != "val") == (name in OF_TRAINING)}
            write_json(path, {"command": f"lsegrepro statistics --profile {run.profile.spec}", "inputs": inputs,
                              "values": compute(run)})
    return [statistics_path(run, name) for name in STATISTICS]


def _digests(run: RunFolder) -> dict[str, str]:
    """Digests, as far as they are known, of what statistics are of: networks of the last round, train and val."""
    digests = {}
    for network in run.last_networks():
        if run.card_path(*network).is_file():
            card = run.card(*network)
            digests |= {"train": card["data_digest"], run.name(*network): card["sha256"]}
    if run.regions_path("val").is_file():
        digests["val"] = run.regions("val").data_digest
    return digests


def share_of_other_class(run: RunFolder, cls: str) -> float:
    """Share of the training samples without a class that show the other class, as the run draws its negatives.

    `paper.plateau_loss` of it is the loss of a network that tells cats and dogs from the rest and not from each other.
    """
    negatives = run.profile.arguments(run.profile.models[0], cls).negatives
    if negatives != "others":
        return paper.other_class_share(cls) if negatives == "paper" else 0.0
    labels = read_statistics(run, "weak-labels")["train"]["labels"]
    return 1 - labels["background"] / sum(count for label, count in labels.items() if label != cls)


# The statistics


def weak_labels(run: RunFolder) -> dict[str, dict[str, Any]]:
    """Numbers of images with weak labels: split (train, heldout) to a dict.

    It has ``images``, ``labels`` (label to images), ``sources`` (source to label to images) and ``shortcut`` (class to
    `source_shortcut`); the last two are empty where all images come from one source.
    """
    splits = {}
    for split in ("train", "heldout"):
        labels, sources = _labels_and_sources(run.weak(split))
        names = np.unique(sources).tolist()
        splits[split] = {
            "images": len(labels), "labels": _count_labels(labels),
            "sources": {name: _count_labels(labels[sources == name]) for name in names if len(names) > 1},
            "shortcut": {cls: source_shortcut(labels, sources, cls) for cls in paper.CLASSES if len(names) > 1},
        }
    return splits


def patch_coverage(run: RunFolder) -> dict[str, dict[str, dict[str, float]]]:
    """How much of the class a bag of patches covers, in val images that hold it: architecture to class to means.

    Means over `BAGS` bags of each image: ``filled``, patches mostly of the class, and shares of the bags: ``none``
    misses it, ``several`` have more than one patch mostly of it. A class that no image holds is left out.
    """
    from ..network import patches  # torch

    val, regions = run.segmentation("val"), run.regions("val")
    if tuple(val.ids) != regions.ids:
        raise LsegreproError("the masks of val are not those the evidence was made of: score again")
    table: dict[str, Any] = {"LSE1": {}, "LSE2": {}}
    for name, classes in table.items():
        arch = paper.ARCHITECTURES[name]
        for cls in paper.CLASSES:
            rng, holding = np.random.default_rng(0), np.flatnonzero(evaluation.present(regions, cls))
            shares = np.array([
                class_shares(mask, paper.VOC_INDEX[cls], corners, arch.patch)
                for mask in (prepare_mask(val.mask(int(i))) for i in holding)
                for corners in patches.random_corners(rng, BAGS, paper.IMAGE_SIDE, arch.patches, arch.patch)])
            if len(shares):
                touched, filled = ((shares > least).sum(axis=1) for least in (0, 0.5))
                classes[cls] = {"filled": float(filled.mean()), "none": float((touched == 0).mean()),
                                "several": float((filled > 1).mean())}
    return table


def accuracy_within_sources(run: RunFolder) -> dict[str, Any]:
    """Balanced accuracy of the networks of the last round on held-out labels, over all sources and inside each.

    Images that hard negatives were mined from are left out: those networks were trained on parts of them. Gives
    ``images``, how many were classified, at most `PER_SOURCE` of each label and source; and ``networks``: name to
    ``whole`` and ``shortcut``, the accuracies of the network and of knowing only the source, and ``inside``: source to
    [images, accuracy]. Both are empty where all images come from one source, or all backgrounds were mined.
    """
    import torch

    from ..network.classify import weak_scores
    from .make import load_network

    weak, rng = run.weak("heldout"), np.random.default_rng(0)
    labels, sources = _labels_and_sources(weak)
    if len(np.unique(sources)) < 2:
        return {"images": 0, "networks": {}}
    paths = {run.negatives_path(model, cls, seed) for model, cls, _, seed in run.last_networks()}
    mined = np.isin(weak.names, np.concatenate([[], *(read_npz(path, ("names",))["names"]
                                                      for path in paths if path.is_file())]))
    if mined[labels == "background"].all():  # what is left would be cat against dog
        return {"images": 0, "networks": {}}
    kinds = np.array([f"{label}/{source}" for label, source in zip(labels, sources, strict=True)])
    index = np.sort(np.concatenate([
        rng.permutation(np.flatnonzero((kinds == kind) & ~mined))[:PER_SOURCE] for kind in np.unique(kinds)
    ]))
    pixels = torch.from_numpy(np.stack([weak.image(int(i)) for i in index]))
    labels, sources, networks = labels[index], sources[index].tolist(), {}
    for network in run.last_networks():
        arguments, net = run.profile.arguments(*network), load_network(run, *network).net
        scores = weak_scores(net, pixels.to(next(net.parameters()).device), arguments.aggregation_name,
                             precision=arguments.precision)
        present = labels == network[1]
        correct = (scores.argmax(1).cpu().numpy() == 0) == present
        networks[run.name(*network)] = {
            "whole": float((correct[present].mean() + correct[~present].mean()) / 2),
            "shortcut": source_shortcut(labels, sources, network[1]),
            "inside": within_sources(correct, present, sources),
        }
    return {"images": len(index), "networks": networks}


STATISTICS: dict[str, Callable[[RunFolder], dict[str, Any]]] = {
    "weak-labels": weak_labels, "bags": patch_coverage, "sources": accuracy_within_sources}
OF_TRAINING = ("weak-labels", "sources")  # of its photographs and weights; the others are of val


def _labels_and_sources(weak: WeakSet) -> tuple[np.ndarray, np.ndarray]:
    """Label and source of each image of a set, as words: (n,) str each; without sources they are empty."""
    labels = np.array(LABELS)[label_codes(weak)]
    return labels, np.array(getattr(weak, "sources", np.zeros(len(labels), str)))


def _count_labels(labels: np.ndarray) -> dict[str, int]:
    return {label: int((labels == label).sum()) for label in LABELS}


# Measures of masks, labels and networks: arrays in, numbers out


def prepare_mask(mask: np.ndarray) -> np.ndarray:
    """Scale and crop a mask (H, W) uint8 as `data.images.prepare` does its image, with nearest neighbours."""
    height, width, side = *mask.shape, paper.IMAGE_SIDE
    factor = side / min(height, width)
    size = (max(1, round(width * factor)), max(1, round(height * factor)))
    scaled = np.asarray(Image.fromarray(mask).resize(size, Image.Resampling.NEAREST))
    top, left = (scaled.shape[0] - side) // 2, (scaled.shape[1] - side) // 2
    return scaled[top : top + side, left : left + side]


def class_shares(mask: np.ndarray, index: int, corners: np.ndarray, size: int) -> np.ndarray:
    """Share of each patch that the class `index` fills, void left out: (N,) float64.

    The mask is prepared, `corners` are top and left of each patch, (N, 2).

    >>> class_shares(np.array([[8, 8], [0, 255]], np.uint8), 8, np.array([[0, 0]]), 2).round(2).tolist()
    [0.67]
    """
    patches = [mask[top : top + size, left : left + size] for top, left in np.asarray(corners)]
    return np.array([np.count_nonzero(patch == index) / max(1, np.count_nonzero(patch != 255)) for patch in patches])


def source_shortcut(labels: Sequence[str], sources: Sequence[str], cls: str) -> float:
    """Balanced accuracy of the best classifier that knows an image's source and nothing else.

    1/2 if images with and without the class share the sources alike, 1 if the source tells them apart.

    >>> source_shortcut(["cat", "cat", "dog", "dog"], ["a", "a", "a", "b"], "cat")
    0.75
    """
    present, where = np.array(labels) == cls, np.array(sources)
    shares = [(np.mean(where[present] == s), np.mean(where[~present] == s)) for s in np.unique(where)]
    return float(sum(max(pair) for pair in shares) / 2)


def within_sources(correct: np.ndarray, present: np.ndarray, sources: Sequence[str]) -> dict[str, tuple[int, float]]:
    """Balanced accuracy inside each source that has 20 images of each kind: source to (images, accuracy).

    A network that lives on telling sources apart falls to 1/2 here.
    """
    accuracies = {}
    for name in sorted(set(sources)):
        here = np.array(sources) == name
        kinds = [correct[here & present], correct[here & ~present]]
        if min(map(len, kinds)) >= 20:
            accuracies[name] = (int(here.sum()), float(np.mean([kind.mean() for kind in kinds])))
    return accuracies


def saturation(net: PatchNet, patches: Tensor) -> dict[str, float]:
    """Share of each layer's outputs beyond 0.99 in magnitude, where tanh hardly has a gradient.

    `patches` are (M, 3, sz, sz) float in [-1, 1]; the result is ``"layer 1"`` .. ``"layer 5"`` to a fraction.
    """
    import torch

    outputs: list[Tensor] = []
    following = (net.conv2, net.conv3, net.full4, net.full5)
    hooks = [layer.register_forward_pre_hook(lambda _, x: outputs.append(x[0])) for layer in following]
    with torch.no_grad():
        outputs.append(net(patches))
    for hook in hooks:
        hook.remove()
    return {f"layer {i}": float((x.abs() > 0.99).float().mean()) for i, x in enumerate(outputs, start=1)}
