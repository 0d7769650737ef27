"""Where the paper is silent: what a decision is worth, as far as a run can tell."""

from __future__ import annotations

import re
from collections.abc import Iterable

import numpy as np

from ... import evaluation, paper
from ...data import LABELS
from ...files import LsegreproError, read_npz
from ...runs import claims, experiments
from ...runs.comparisons import seed_counts
from ...runs.results import coverage
from ...runs.folder import RunFolder
from ...runs.statistics import read_statistics
from ...runs.superpixel_search import choose_setting, read_search
from ..notebook import between, percent


def balance(run: RunFolder) -> str:
    """How unbalanced the weak photographs are."""
    labels = read_statistics(run, "weak-labels")["train"]["labels"]
    total = sum(labels.values())
    parts = " and ".join(f"{percent(labels[c] / total, 0)} hold a {c}" for c in paper.CLASSES)
    theirs = sum(paper.TRAINING_IMAGES.values())
    return (f"Of this run's {total:,} training photographs {parts}; of the paper's, "
            + " and ".join(f"{percent(paper.TRAINING_IMAGES[c] / theirs)}" for c in paper.CLASSES)
            + ". Drawn as they come, the answer “no” would be a good one.")


def negatives(run: RunFolder) -> str:
    """What the images without the class are."""
    labels = read_statistics(run, "weak-labels")["train"]["labels"]
    parts = []
    for cls, other in zip(paper.CLASSES, reversed(paper.CLASSES), strict=True):
        parts.append(f"{percent(labels[other] / (labels[other] + labels['background']), 0)} of the photographs "
                     f"without a {cls} show a {other}")
    return " and ".join(parts) + "."


def cards(run: RunFolder, round: int = 1) -> list[dict]:
    """The cards of the networks of a round.

    Raises
    ------
    LsegreproError
        If there is none.
    """
    found = [run.card(*network) for network in run.networks() if network[2] == round]
    if not any(found):
        raise LsegreproError("no card of a trained network is at hand")
    return [card for card in found if card]


def steps(run: RunFolder) -> str:
    """Images seen, and whether the held-out loss was still falling."""
    seen = sorted({card["samples"] for card in cards(run)})
    falls = [claims.loss_fall(run, m, c, s) for m, c, r, s in run.networks() if r == 1 and run.curve(m, c, 1, s)]
    if not falls:
        raise LsegreproError("no training curve is at hand")
    epoch = sum(paper.TRAINING_IMAGES.values())
    samples = " or ".join(f"{n:,}" for n in seen)
    return (f"The networks of this run saw {samples} images in round 1; one pass over the paper's photographs would be "
            f"{epoch:,}. The held-out loss of {sum(fall < claims.LEVEL for fall in falls)} of {len(falls)} had levelled "
            f"off: from the middle fifth of the training to the last it fell by less than {claims.LEVEL:g}.")


def batch(run: RunFolder) -> str:
    """Whether one long step goes where many short ones go."""
    found = read_statistics(run, "first-steps")
    parts = ", ".join(f"{step['cosine']:.4f} at rate {rate}" for rate, step in found["steps"].items())
    used = sorted({card["arguments"]["batch"] for card in cards(run)})
    return (f"This run takes {' or '.join(map(str, used))} images a step. The cosine between one step of "
            f"{found['images']} images and {found['images']} single steps is {parts}.")


def momentum(run: RunFolder) -> str:
    """What the cards say."""
    found = sorted({card["arguments"]["momentum"] for card in cards(run)})
    return f"The networks of this run were trained with momentum {' or '.join(f'{m:g}' for m in found)}."


def precision(run: RunFolder) -> str:
    """The arithmetic of training and of scoring, as cards and evidence name it."""
    found = {cls: sorted({card["arguments"].get("precision", "float32") for card in cards(run)
                          if card["arguments"]["cls"] == cls}) for cls in run.profile.classes}
    trained = " and ".join(f"{' or '.join(used)} for {cls}" for cls, used in found.items() if used)
    scored = sorted({run.scores(*n).meta["arguments"].get("precision", "float32")
                     for n in run.networks() if run.has_scores(*n)})
    return (f"The networks of this run were trained in {trained}"
            + (f", and scored val in {' or '.join(scored)}" if scored else "") + "; weights are kept in float32.")


def jitter(run: RunFolder) -> str:
    """The ranges of the profile."""
    a = run.profile.arguments(run.profile.models[0], run.profile.classes[0]).jitter
    return (f"This run flips with a chance of {a.flip:g}, turns by up to {a.rotation:g}°, scales by up to "
            f"{a.scaling:g}, shifts brightness by up to {a.brightness:g} of the range [−1, 1], and changes contrast "
            f"by up to {a.contrast:g}."
            + experiment(run, "no-jitter", "Without any of it"))


def of_source(source: str, name: str) -> bool:
    """Whether a source, as a set of weak photographs calls it, is the one of this name.

    >>> of_source("voc", "voc"), of_source("VOCdevkit/VOC2012", "voc"), of_source("pets", "voc")
    (True, True, False)
    """
    return source.lower().startswith(name)


def of_voc(names: Iterable[str]) -> int:
    """How many photographs are Pascal VOC's, as far as their names say.

    >>> of_voc(["background/voc_00001.jpg", "VOCdevkit/VOC2012/JPEGImages/2008_000001.jpg", "background/a.jpg"])
    2
    """
    return sum(bool(re.search(r"(^|/)(voc_|VOCdevkit/|JPEGImages/)", name)) for name in names)


def mining(run: RunFolder) -> str:
    """What the negatives files say of where they come from."""
    parts, every = [], set()
    for m, c, r, s in run.networks():
        path = run.negatives_path(m, c, s)
        if r != 1 or not path.is_file():
            continue
        held = read_npz(path, ("names", "counts"))
        names, found = held["names"].tolist(), held["counts"].astype(np.int64)
        every |= set(names)
        parts.append(f"{m}, {c}: {int(found.sum()):,} false pixels in {int((found > 0).sum())} of {len(names)} images")
    if not parts:
        raise LsegreproError("no hard negatives are at hand")
    voc, labels = of_voc(every), {name.split("/")[0] for name in every} & set(LABELS)  # not every name begins with one
    label = " or ".join(sorted(labels)) or "background"
    return (f"Every image mined is labelled {label}, at θ = {run.profile.mining.theta:g}: "
            + "; ".join(parts) + "."
            + (f" {voc:,} of the {len(every):,} images are photographs of VOC outside its segmentation lists."
               if voc else ""))


def theta(run: RunFolder) -> str:
    """What choosing on train costs, against the oracle."""
    costs = []
    for cls in run.profile.classes:
        for model in run.profile.models:
            if run.has_network(model, cls, 2):
                oracle, chosen = (evaluation.ap(seed_counts(run, model, cls, at=at).sum(axis=1)).mean()
                                  for at in ("oracle", "train"))
                costs.append(100 * (oracle - chosen))
    if not costs:
        raise LsegreproError("no network of round 2 was scored on train and val")
    return (f"On {coverage(run.regions('val'))} the choice on train costs {min(costs):.2f} to {max(costs):.2f} "
            f"points of AP against the best θ on val.")


def superpixels(run: RunFolder) -> str:
    """What other parameters give on train."""
    settings = read_search(run)
    chosen, aps = choose_setting(settings), [100 * setting.mean_ap for setting in settings]
    used = next((s for s in settings if s.params == run.profile.superpixels), chosen)
    own = "" if used is chosen else f" The run has another setting, with {100 * used.mean_ap:.2f} %."
    networks = " and ".join(name.replace("-round2-seed0", "").replace("-", " for ") for name in chosen.ap)
    return (f"{len(settings)} settings were tried on {coverage(run.regions('train'))}, with {networks}: mean AP "
            f"{min(aps):.2f} to {max(aps):.2f} %, {100 * chosen.mean_ap:.2f} % for the choice, which leaves an "
            f"IoU of {percent(min(chosen.achievable.values()))} within reach.{own}")


def borders(run: RunFolder) -> str:
    """How much of val lies so near to a border that the patch reaches outside."""
    sizes = run.regions("val").sizes.astype(float)
    scale = run.profile.scoring.scale_to
    if scale:
        sizes = sizes * scale / sizes.min(axis=1, keepdims=True)
    said = []
    for name in ("LSE1", "LSE2"):
        margin = (paper.ARCHITECTURES[name].patch - 1) // 2
        inside = np.clip(sizes - 2 * margin, 0, None).prod(axis=1).sum() / sizes.prod(axis=1).sum()
        said.append(f"{percent(1 - inside, 0)} of the pixels for {name} (half a patch is {margin})")
    return f"On {coverage(run.regions('val'))} the patch reaches outside the image for {' and '.join(said)}."


def scale(run: RunFolder) -> str:
    """How much larger the images are than what training sees."""
    short = run.regions("val").sizes.min(axis=1)
    return (f"The short side of the val images is {np.median(short):.0f} pixels in the median, "
            f"{np.median(short) / 300:.2f} times that "
            "of training." + experiment(run, "native-scale", "At their own size"))


def tie(run: RunFolder) -> str:
    """How many superpixels can tie at all."""
    sizes = run.regions("val").counts.sum(axis=1)
    return (f"Only a superpixel of an even number of pixels can tie: {percent(float((sizes % 2 == 0).mean()), 0)} of "
            f"the {len(sizes):,} in {coverage(run.regions('val'))}. A tie takes exactly half of them above θ, a "
            f"coincidence in a superpixel of {np.median(sizes):.0f} pixels, the median.")


def void(run: RunFolder) -> str:
    """How many pixels are void."""
    val = run.regions("val")
    every = val.sizes.astype(np.int64).prod(axis=1).sum()
    return f"{percent(1 - val.totals.sum() / every)} of the pixels of {coverage(val)} are void."


def classification(run: RunFolder) -> str:
    """What the classifier of central patches reaches, against always saying no."""
    found = [c for c in claims.classification_for_free(run).comparisons if c.effect is not None]
    if not found:
        raise LsegreproError("LSE1 of round 2 was not scored")
    return ("LSE1, set beside the answer “no” to every image: "
            + "; ".join(f"{between(c.effect)} points of accuracy ({c.cls})" for c in found) + ".")


def experiment(run: RunFolder, name: str, said: str) -> str:
    """What an experiment adds, for the classes that it was done for."""
    groups = experiments.experiment_rows(run, experiments.load_experiments(run.profile)[name].question)
    own = {(g.model, g.cls): g for g in groups if not g.name and g.counts is not None}
    varied = [g for g in groups if g.name == name and g.counts is not None and (g.model, g.cls) in own]
    if not varied:
        return " The experiment was not run."
    parts = [f"{between(evaluation.bootstrap_difference(g.counts, own[g.model, g.cls].counts))} points of AP "
             f"({g.model}, {g.cls})" for g in varied]
    return f" {said}: {'; '.join(parts)}."
