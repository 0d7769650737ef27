"""Descriptive statistics of a run that only photographs, masks and weights can tell, kept as small JSON files.

``lsegrepro statistics`` computes each where the photographs are and writes ``statistics/{name}.json`` into the run's
folder: numbers alone, no picture. Pages read them with `read_statistics`. Masks are read here to describe the
evaluation data; nothing of it reaches a training.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import evaluation, paper
from ..data import LABELS, label_codes
from ..files import LsegreproError, read_json, read_npz, write_json
from .folder import RunFolder, require_file, require_same
from .measures import class_shares, prepare_mask, saturation, source_shortcut, within_sources
from .published import adopt

if TYPE_CHECKING:
    from ..data import WeakSet

BAGS = 4
"""Bags of patches drawn from each image by `patch_coverage`."""

PER_SOURCE = 100
"""Most held-out images of one label and source that `accuracy_within_sources` classifies."""



def statistics_path(run: RunFolder, name: str) -> Path:
    """Where one of `STATISTICS` is kept."""
    return run.folder / "statistics" / f"{name}.json"


def read_statistics(run: RunFolder, name: str) -> dict[str, Any]:
    """Read one of `STATISTICS` of a run, as the function of that name returned it.

    Raises `LsegreproError` if the file is absent, or was computed on other images or weights than the run's.
    """
    path = statistics_path(run, name)
    require_file(run, path, "statistics")
    content = read_json(path)
    if not isinstance(content.get("values"), dict) or not isinstance(content.get("inputs"), dict):
        raise LsegreproError(f"{path} is no file of statistics: delete it and compute it again")
    require_same(run, path, content["inputs"] | _inputs(run, content["inputs"]), content["inputs"])
    return content["values"]


def write_statistics(run: RunFolder) -> list[Path]:
    """Compute each of `STATISTICS` that is missing; at depth weights, take the published ones of the training."""
    paths = []
    for name, compute in STATISTICS.items():
        path = statistics_path(run, name)
        paths.append(path)
        if path.is_file():
            continue
        if run.depth == "weights" and name in OF_TRAINING:
            adopt(path)
            continue
        of = ("train", *(run.name(*n) for n in run.last_networks())) if name in OF_TRAINING else ("val",)
        write_json(path, {"command": f"lsegrepro statistics --profile {run.profile.spec}", "inputs": _inputs(run, of),
                          "values": compute(run)})
    return paths


def _inputs(run: RunFolder, names: Iterable[str]) -> dict[str, str]:
    """Digests, as far as they are known, of what statistics are of: networks of the last round, train and val."""
    cards = {run.name(*network): run.card(*network) for network in run.last_networks()
             if run.card_path(*network).is_file()}
    digests = {name: card["sha256"] for name, card in cards.items()}
    if len(of_train := {card["data_digest"] for card in cards.values()}) == 1:
        digests["train"] = of_train.pop()
    if run.regions_path("val").is_file():
        digests["val"] = run.regions("val").data_digest
    return {name: digests[name] for name in names if name in digests}


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
        weak = run.weak(split)
        labels, source = _labels(weak), np.array(getattr(weak, "sources", []))
        splits[split] = {"images": len(weak), "labels": _count_labels(labels), "sources": {}, "shortcut": {}}
        if len(set(source)) > 1:
            splits[split]["sources"] = {str(name): _count_labels(labels[source == name]) for name in np.unique(source)}
            splits[split]["shortcut"] = {cls: source_shortcut(labels, source, cls) for cls in paper.CLASSES}
    return splits


def patch_coverage(run: RunFolder) -> dict[str, dict[str, dict[str, float]]]:
    """How much of the class a bag of patches covers, in val images that hold it: architecture to class to means.

    Means over `BAGS` bags of each image: ``filled``, patches mostly of the class, and shares of the bags: ``none``
    misses it, ``several`` have more than one patch mostly of it. A class that no image holds is left out.
    """
    from ..network import patches  # torch

    table: dict[str, Any] = {}
    for name in ("LSE1", "LSE2"):
        arch = paper.ARCHITECTURES[name]
        for cls, masks in _masks(run).items():
            rng = np.random.default_rng(0)
            shares = [class_shares(mask, paper.VOC_INDEX[cls], corners, arch.patch) for mask in map(prepare_mask, masks)
                      for corners in patches.random_corners(rng, BAGS, paper.IMAGE_SIDE, arch.patches, arch.patch)]
            if shares:
                touched, filled = ((np.array(shares) > least).sum(axis=1) for least in (0, 0.5))
                bags = {"filled": filled, "none": touched == 0, "several": filled > 1}
                table.setdefault(name, {})[cls] = {key: float(values.mean()) for key, values in bags.items()}
    return table


def accuracy_within_sources(run: RunFolder) -> dict[str, Any]:
    """Balanced accuracy of the networks of the last round on held-out labels, over all sources and inside each.

    Images that hard negatives were mined from are left out: those networks were trained on parts of them.

    Returns
    -------
    dict
        ``images``, how many were classified, at most `PER_SOURCE` of each label and source; and ``networks``: name to
        ``whole`` and ``shortcut``, the accuracies of the network and of knowing only the source, and ``inside``:
        source to [images, accuracy]. Both are empty where all images come from one source.
    """
    import torch

    from ..network.classify import weak_scores
    from .make import load_network

    weak, rng = run.weak("heldout"), np.random.default_rng(0)
    sources = np.array(getattr(weak, "sources", []))
    if len(set(sources)) < 2:
        return {"images": 0, "networks": {}}
    kinds = np.array([f"{label}/{source}" for label, source in zip(_labels(weak), sources, strict=True)])
    mined = np.isin(weak.names, sorted(_mined_images(run)))
    index = np.sort(np.concatenate([
        rng.permutation(np.flatnonzero((kinds == kind) & ~mined))[:PER_SOURCE] for kind in np.unique(kinds)
    ]))
    pixels = torch.from_numpy(np.stack([weak.image(int(i)) for i in index]))
    labels, where, networks = _labels(weak)[index], sources[index].tolist(), {}
    for network in run.last_networks():
        arguments = run.profile.arguments(*network)
        net = load_network(run, *network).net
        scores = weak_scores(net, pixels.to(next(net.parameters()).device), arguments.aggregation_name,
                             precision=arguments.precision)
        present = labels == network[1]
        correct = (scores.argmax(1).cpu().numpy() == 0) == present
        networks[run.name(*network)] = {
            "whole": float((correct[present].mean() + correct[~present].mean()) / 2),
            "shortcut": source_shortcut(labels.tolist(), where, network[1]),
            "inside": {source: list(pair) for source, pair in within_sources(correct, present, where).items()},
        }
    return {"images": len(index), "networks": networks}


def first_steps(run: RunFolder) -> dict[str, Any]:
    """Before any training: initialisation to ``saturated``, the share of each layer's outputs beyond 0.99."""
    import torch

    from ..network import model, patches

    arguments, weak = run.profile.arguments(*run.networks()[0]), run.weak("heldout")
    images = patches.to_float(torch.from_numpy(np.stack([weak.image(i) for i in range(min(8, len(weak)))])))
    corners = patches.random_corners(np.random.default_rng(0), len(images), paper.IMAGE_SIDE, arguments.net.patches,
                                     arguments.net.patch)
    x = patches.cut(images, corners, arguments.net.patch)
    nets = {name: model.PatchNet(arguments.net, initialisation=name, generator=torch.Generator().manual_seed(0))
            for name in ("torch7", "literal")}
    return {"initial": {name: {"saturated": saturation(net, x)} for name, net in nets.items()}}


STATISTICS: dict[str, Callable[[RunFolder], dict[str, Any]]] = {
    "weak-labels": weak_labels, "bags": patch_coverage, "sources": accuracy_within_sources,
    "first-steps": first_steps,
}
OF_TRAINING = ("weak-labels", "sources", "first-steps")
"""Those of the training photographs and weights; the others are of val."""


def _mined_images(run: RunFolder) -> set[str]:
    """Names of the held-out images that the run's hard negatives come from."""
    paths = {run.negatives_path(model, cls, seed) for model, cls, _, seed in run.last_networks()}
    return {str(name) for path in paths if path.is_file() for name in read_npz(path, ("names",))["names"]}


def _labels(weak: WeakSet) -> np.ndarray:
    """Labels of a set as words: (n,) str."""
    return np.array(LABELS)[label_codes(weak)]


def _count_labels(labels: np.ndarray) -> dict[str, int]:
    return {label: int((labels == label).sum()) for label in LABELS}


def _masks(run: RunFolder) -> dict[str, list[np.ndarray]]:
    """The val masks that hold each class."""
    val, regions = run.segmentation("val"), run.regions("val")
    if tuple(val.ids) != regions.ids:
        raise LsegreproError("the masks of val are not those the evidence was made of: score again")
    return {cls: [val.mask(int(i)) for i in np.flatnonzero(evaluation.present(regions, cls))] for cls in paper.CLASSES}
