"""What only photographs and masks can tell a page, kept as small files for whoever has none.

Each fact is counted once, where the data is, and kept among the evidence of the run
(``evidence/facts-{name}.json``): numbers alone, no picture. A page then comes out the same with
and without the photographs. Like all evidence a fact is sealed, and names what it was counted on.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import evaluation, paper
from ..data.index import LABELS, label_codes
from ..files import LsegreproError
from ..files import digest, read_json, write_json
from .measures import beginning, class_shares, prepare_mask, saturation, source_shortcut, walk, within_sources
from ..files import read_npz
from .publish import adopt
from .folder import RunFolder

if TYPE_CHECKING:
    from ..data import WeakSet

VERSION = 1
"""Version of the files; a reader refuses any other."""

BAGS = 4
"""Bags drawn from each image by `bags`."""

PER_SOURCE = 100
"""Most held-out images of one label and source that `sources` classifies."""

EACH = 4
"""Held-out images with the class, and as many without it, that `first_steps` looks at."""


def weak_labels(run: RunFolder) -> dict[str, dict[str, Any]]:
    """What the weak sets hold: split (train, heldout) -> images, description, labels, sources, shortcut.

    ``labels`` counts images by label, ``sources`` by source and label; ``shortcut`` is, for each class,
    what knowing the source alone is worth (`measures.source_shortcut`). These two are empty where all
    images come from one source.
    """

    def count() -> dict[str, Any]:
        found = {}
        for split in ("train", "heldout"):
            weak = run.weak(split)
            labels, origin = _labels(weak), np.array(getattr(weak, "sources", []))
            found[split] = {"digest": weak.digest, "images": len(weak), "description": weak.description,
                            "labels": _by_label(labels), "sources": {}, "shortcut": {}}
            if len(set(origin)) > 1:
                found[split]["sources"] = {str(name): _by_label(labels[origin == name]) for name in np.unique(origin)}
                found[split]["shortcut"] = {cls: source_shortcut(labels, origin, cls) for cls in paper.CLASSES}
        return found

    cards = {run.card(*n)["data_digest"] for n in run.networks() if run.card_path(*n).is_file()}
    made_of = {"train": cards.pop()} if len(cards) == 1 else {}
    return kept(run, "weak-labels", made_of, count, lambda found: {"train": found["train"]["digest"]},
                 of_training=True)


def crop(run: RunFolder) -> dict[str, dict[str, float]]:
    """What the central crop cuts from the class in val: class -> images, lost, half, all.

    ``images`` holds the class; ``lost`` is the mean part of its pixels that the crop cuts away (nan
    becomes 0 where there is no image); ``half`` and ``all`` count images that lose more than half, and all.
    """

    def count() -> dict[str, Any]:
        found = {}
        for cls, masks in _masks(run).items():
            kept = []
            for mask in masks:
                scaled = np.count_nonzero(mask == paper.VOC_INDEX[cls]) * (paper.IMAGE_SIDE / min(mask.shape)) ** 2
                kept.append(np.count_nonzero(prepare_mask(mask) == paper.VOC_INDEX[cls]) / scaled)
            kept = np.minimum(kept, 1)
            found[cls] = {"images": len(kept), "lost": float(1 - kept.mean()) if len(kept) else 0.0,
                          "half": int((kept < 0.5).sum()), "all": int((kept == 0).sum())}
        return found

    return kept(run, "crop", {"val": run.regions("val").data_digest}, count)


def bags(run: RunFolder) -> dict[str, dict[str, dict[str, float]]]:
    """How much of the class a bag of patches meets in val images that hold it.

    Returns
    -------
    dict
        Architecture -> class -> means over `BAGS` bags of each image: ``touched``, patches that touch
        the class; ``filled``, patches mostly of it; and parts of the bags: ``none`` miss it,
        ``several`` have more than one patch mostly of it, ``majority`` more than N / 2. A class
        that no image holds is left out.
    """

    def count() -> dict[str, Any]:
        from ..network import patches  # torch

        found: dict[str, Any] = {}
        for name in ("LSE1", "LSE2"):
            arch = paper.ARCHITECTURES[name]
            for cls, masks in _masks(run).items():
                rng = np.random.default_rng(0)
                shares = []
                for mask in map(prepare_mask, masks):
                    for corners in patches.random_corners(rng, BAGS, paper.IMAGE_SIDE, arch.patches, arch.patch):
                        shares.append(class_shares(mask, paper.VOC_INDEX[cls], corners, arch.patch))
                if shares:
                    touched, filled = ((np.array(shares) > least).sum(axis=1) for least in (0, 0.5))
                    found.setdefault(name, {})[cls] = {
                        "touched": float(touched.mean()), "filled": float(filled.mean()),
                        "none": float((touched == 0).mean()), "several": float((filled > 1).mean()),
                        "majority": float((filled > arch.patches / 2).mean()),
                    }
        return found

    return kept(run, "bags", {"val": run.regions("val").data_digest}, count)


def sources(run: RunFolder) -> dict[str, Any]:
    """How well the networks of the last round know held-out labels, over all sources and inside each.

    Images that hard negatives were mined from are left out: those networks were trained on parts of them.

    Returns
    -------
    dict
        ``images``, how many were classified, at most `PER_SOURCE` of each label and source; and
        ``networks``, by `RunPaths.name`: ``whole`` and ``shortcut``, the balanced accuracies of the network and
        of knowing only the source, and ``inside``: source -> [images, balanced accuracy]. Both are
        empty where all images come from one source.
    """
    last = run.last_networks()

    def count() -> dict[str, Any]:
        import torch

        from ..network.classify import weak_scores
        from ..training.distributed import own_device
        from .make import load_network

        held, rng = run.weak("heldout"), np.random.default_rng(0)
        origin = np.array(getattr(held, "sources", []))
        if len(set(origin)) < 2:
            return {"images": 0, "networks": {}}
        kinds = np.array([f"{label}/{source}" for label, source in zip(_labels(held), origin, strict=True)])
        mined = np.isin(held.names, sorted(_mined(run)))
        index = np.sort(np.concatenate([
            rng.permutation(np.flatnonzero((kinds == kind) & ~mined))[:PER_SOURCE] for kind in np.unique(kinds)
        ]))
        pixels = torch.from_numpy(np.stack([held.image(int(i)) for i in index])).to(own_device(run.device))
        labels, where, found = _labels(held)[index], origin[index].tolist(), {}
        for network in last:
            arguments = run.profile.arguments(*network)
            said = weak_scores(load_network(run, *network).net, pixels, arguments.aggregation_name,
                               precision=arguments.precision)
            present = labels == network[1]
            correct = (said.argmax(1).cpu().numpy() == 0) == present
            found[run.name(*network)] = {
                "whole": float((correct[present].mean() + correct[~present].mean()) / 2),
                "shortcut": source_shortcut(labels.tolist(), where, network[1]),
                "inside": {source: list(pair) for source, pair in within_sources(correct, present, where).items()},
            }
        return {"images": len(index), "networks": found}

    cards = {run.name(*n): run.card(*n) for n in last if run.card_path(*n).is_file()}
    return kept(run, "sources", {name: card["sha256"] for name, card in cards.items()}, count,
                 of_training=True)


def first_steps(run: RunFolder) -> dict[str, Any]:
    """What the first steps of the run's first network are like, on `2 * EACH` held-out images.

    Returns
    -------
    dict
        ``images`` and ``patches``, how many in all and of each; ``steps``: rate -> ``length`` and ``cosine`` of
        one step of all images against as many single steps (`measures.walk`); ``initial``: initialisation ->
        ``saturated``, part of each layer's outputs beyond 0.99 (`measures.saturation`), and ``losses`` and
        ``gradients`` of each image (`measures.beginning`).
    """
    network = run.networks()[0]
    a = run.profile.arguments(*network)
    rates = sorted({paper.LEARNING_RATE, a.rate})

    def count() -> dict[str, Any]:
        import torch

        from ..network import model, patches

        held = run.weak("heldout")
        present = _labels(held) == a.cls
        kinds = (np.flatnonzero(present == same)[:EACH].tolist() for same in (True, False))
        chosen = [i for pair in zip(*kinds, strict=False) for i in pair]  # with and without the class, in turn
        images = patches.to_float(torch.from_numpy(np.stack([held.image(i) for i in chosen])))
        corners = patches.random_corners(
            np.random.default_rng(0), len(images), images.shape[-1], a.net.patches, a.net.patch)
        cut = patches.cut(images, corners, a.net.patch).unflatten(0, (len(images), a.net.patches))
        labels = torch.tensor([0, 1] * (len(chosen) // 2))
        nets = {name: model.PatchNet(a.net, initialisation=name, generator=torch.Generator().manual_seed(0))
                for name in ("torch7", "literal")}
        steps, initial = {}, {}
        for rate in rates:
            single, together = (
                walk(nets["torch7"], cut, labels, rate, size, model.aggregation(a.aggregation_name))
                for size in (1, len(cut))
            )
            cosine = torch.nn.functional.cosine_similarity(single, together, dim=0)
            steps[f"{rate:g}"] = {"length": float(together.norm() / single.norm()), "cosine": float(cosine)}
        for name, net in nets.items():
            losses, gradients = beginning(net, cut, labels)
            initial[name] = {"saturated": saturation(net, cut.flatten(0, 1)), "losses": losses, "gradients": gradients}
        return {"images": len(cut), "patches": a.net.patches, "steps": steps, "initial": initial}

    return kept(run, "first-steps", {"arguments": [a.net.name, a.aggregation_name, a.cls, rates]}, count,
                 of_training=True)


def count_all(run: RunFolder) -> None:
    """Count every fact that is missing; before a run is published, where the photographs are."""
    for fact in (weak_labels, crop, bags, sources, first_steps):
        fact(run)


def _mined(run: RunFolder) -> set[str]:
    """Names of the held-out images that the run's hard negatives come from."""
    paths = {run.negatives_path(model, cls, seed) for model, cls, _, seed in run.last_networks()}
    return {str(name) for path in paths if path.is_file() for name in read_npz(path, ("names",))["names"]}


def _labels(weak: WeakSet) -> np.ndarray:
    """Labels of a set as words, whether it holds words or codes: (n,) str."""
    return np.array(LABELS)[label_codes(weak)]


def _by_label(labels: np.ndarray) -> dict[str, int]:
    return {label: int((labels == label).sum()) for label in LABELS}


def _masks(run: RunFolder) -> dict[str, list[np.ndarray]]:
    """The val masks that hold each class."""
    val, regions = run.segmentation("val"), run.regions("val")
    if tuple(val.ids) != regions.ids:
        raise LsegreproError("the masks of val are not those the evidence was made of: score again")
    return {cls: [val.mask(int(i)) for i in np.flatnonzero(evaluation.present(regions, cls))] for cls in paper.CLASSES}


def kept(
    run: RunFolder, name: str, made_of: dict[str, Any], count: Callable[[], Any],
    origin: Callable[[Any], dict[str, Any]] | None = None, *, of_training: bool = False,
) -> Any:
    """A fact of the run: read and checked, or counted now and kept.

    `made_of` says what it must have been counted on; `origin` reads the same off the fact, where it tells.
    What is `of_training` belongs to the weights, wherever they come from.
    """
    path = fact_path(run, name)
    if not path.is_file():
        if run.depth == "evidence":
            raise LsegreproError(f"{path} is not there: at depth evidence nothing is counted")
        if of_training and run.depth == "weights":
            adopt(path)
            return read_fact(path, name, made_of)
        content = count()
        keep_fact(run, name, origin(content) if origin else made_of, content)
    return read_fact(path, name, made_of)


def keep_fact(run: RunFolder, name: str, made_of: dict[str, Any], content: Any) -> None:
    """Write a fact of the run, sealed."""
    record = {"format": f"lsegrepro facts {name}", "version": VERSION, "made_of": made_of, "content": content}
    write_json(fact_path(run, name), record | {"digest": digest(record)})


def fact_path(run: RunFolder, name: str) -> Path:
    """Where a fact of a run is kept."""
    return run.path("evidence", "facts", name, suffix=".json")


def read_fact(path: Path, name: str, made_of: dict[str, Any] | None = None) -> Any:
    """Read one fact.

    Raises
    ------
    LsegreproError
        If the file is absent, altered, of another kind, or was counted on other things than `made_of`.
    """
    record = read_json(path)
    seal = record.pop("digest", None)
    if seal != digest(record):
        raise LsegreproError(f"{path} is refused: it was altered or is cut short; fetch or compute it again")
    if (record.get("format"), record.get("version")) != (f"lsegrepro facts {name}", VERSION):
        raise LsegreproError(f"{path} is refused: it is no version {VERSION} of the fact {name!r}")
    origin = record.get("made_of")
    if not isinstance(origin, dict) or "content" not in record:
        raise LsegreproError(f"{path} is refused: it does not say what was counted, and on what")
    for key, value in (made_of or {}).items():
        if origin.get(key) != value:
            raise LsegreproError(
                f"{path} is refused: it was counted on {key} {origin.get(key)!r}, this run has {value!r}"
            )
    return record["content"]
