"""Make the results of a run: train a network, mine its hard negatives, score images.

Each function makes one file, of what must be there, and returns its path: the workflow decides in which order files are
made. A file that is there already is checked, and not made again.
"""

import dataclasses
import sys
from pathlib import Path

import torch

from .. import evidence, paper
from ..config import LATER, read_card
from ..evidence import scoring
from ..files import LsegreproError, digest, printable
from ..network.devices import parse_device
from ..network.weights import Weights, load_weights
from ..training import mining
from ..training.batches import WeakDataset
from ..training.loop import train
from .folder import RunFolder, require_file, require_same
from .published import PROFILE, adopt_weights, published_file


def train_network(run: RunFolder, model: str, cls: str, round: int = 1, seed: int = 0) -> Path:
    """Train a network, or go on with it; at depth weights take the published one."""
    network = (model, cls, round, seed)
    path = run.weights_path(*network)
    if not path.is_file() and run.depth == "weights":
        arguments = read_card(published_file(path).with_suffix(".json"))["arguments"]
        if LATER | arguments != dataclasses.asdict(run.profile.arguments(*network)):
            raise LsegreproError(f"the published {path.stem} is not of profile {run.profile.name}: take --profile "
                                 f"{PROFILE}, or --depth scratch")
        adopt_weights(path)
    if path.is_file():
        _check_images(run, path, run.card(*network))
        return path
    start = hard_negatives = None
    if round == 2:
        start = load_network(run, model, cls, 1, seed)
        _check_images(run, run.weights_path(model, cls, 1, seed), run.card(model, cls, 1, seed))
        _check_negatives(run, model, cls, seed)
    dataset, heldout = _dataset(run, "train"), _dataset(run, "heldout")
    if round == 2:
        hard_negatives = mining.read_negatives(run.negatives_path(model, cls, seed), heldout)
    return train(run.profile.arguments(*network), dataset, path, heldout=heldout, start=start,
                 hard_negatives=hard_negatives, device=parse_device(run.device), progress=run.progress)


def mine_negatives(run: RunFolder, model: str, cls: str, seed: int = 0) -> Path:
    """Mine the hard negatives of a network of round 1 (Section 3.2)."""
    path = run.negatives_path(model, cls, seed)
    if path.is_file():
        _check_negatives(run, model, cls, seed)
        return path
    weights, heldout = load_network(run, model, cls, 1, seed), _dataset(run, "heldout")
    mining.mine(weights, heldout, path, run.profile.mining, progress=run.progress)
    return path


def make_regions(run: RunFolder, split: str) -> Path:
    """Cut the images of a split into superpixels and count the truth in each; no network takes part."""
    path = run.regions_path(split)
    if path.is_file():
        run.regions(split)
        return path
    data = run.segmentation(split)
    if run.progress:
        print(printable(data.description), file=sys.stderr)
    regions = scoring.count_regions(data, split, run.profile.superpixels, superpixel_cache(run), progress=run.progress)
    for cls in run.profile.classes:
        if not regions.pixels(cls)[0].any():
            raise LsegreproError(f"in {data.description} no mask has a pixel of {cls}, index "
                                 f"{paper.VOC_INDEX[cls]}: are they masks of VOC's classes?")
    evidence.write_regions(path, regions)
    return path


def score_network(
    run: RunFolder, model: str, cls: str, round: int = 1, seed: int = 0, split: str = "val",
    superpixels: Path | None = None,
) -> Path:
    """Score the images of a split with a network, and write its scores in each superpixel.

    `superpixels` is the folder that keeps those of each image, by default `superpixel_cache`.
    """
    path = run.scores_path(model, cls, round, seed, split)
    if path.is_file():
        run.scores(model, cls, round, seed, split)
        return path
    regions, weights = run.regions(split), load_network(run, model, cls, round, seed)
    scores = scoring.score_set(weights, run.segmentation(split), regions, run.profile.scoring,
                               maps=map_cache(run, weights), progress=run.progress,
                               superpixels=superpixels or superpixel_cache(run))
    evidence.write_scores(path, scores)
    return path


def load_network(run: RunFolder, model: str, cls: str, round: int = 1, seed: int = 0) -> Weights:
    """A trained network of a run, on the run's device."""
    path = run.weights_path(model, cls, round, seed)
    require_file(run, path, "train", (model, cls, round, seed))
    run.card(model, cls, round, seed)  # refuses a network of another configuration
    weights = load_weights(path, model=model, cls=cls)
    weights.net.to(parse_device(run.device), memory_format=torch.channels_last)
    return weights


def superpixel_cache(run: RunFolder) -> Path:
    """The folder that keeps the superpixels of each image, until it is deleted."""
    return run.folder / "cache" / "superpixels"


def map_cache(run: RunFolder, weights: Weights) -> Path:
    """The folder that keeps the score maps of a network, one file an image, until it is deleted."""
    made_by = digest([weights.sha256, dataclasses.asdict(run.profile.scoring), scoring.code_digest(),
                      parse_device(run.device).type])
    return run.folder / "cache" / "maps" / made_by


def _dataset(run: RunFolder, split: str) -> WeakDataset:
    weak = run.weak(split)
    if run.progress:  # which images are used, and how many were left out
        print(printable(weak.description), file=sys.stderr)
    return WeakDataset(weak, parse_device(run.device), run.progress)


def _check_images(run: RunFolder, path: Path, card: dict) -> None:
    """Refuse weights that were trained on other images than those at hand, unless they are the published ones."""
    try:
        at_hand = run.weak("train").digest
    except LsegreproError:  # nothing to compare with
        return
    if not card.get("published"):
        require_same(run, path, {"data_digest": at_hand}, card)


def _check_negatives(run: RunFolder, model: str, cls: str, seed: int) -> None:
    """Refuse hard negatives that are not there, or were mined otherwise or with other weights."""
    path = run.negatives_path(model, cls, seed)
    require_file(run, path, f"mine --model {model} --class {cls} --seed {seed}")
    wanted = {"mining": dataclasses.asdict(run.profile.mining)}
    if run.card_path(model, cls, 1, seed).is_file():
        wanted["weights_sha256"] = run.card(model, cls, 1, seed).get("sha256")
    require_same(run, path, wanted, mining.read_meta(path))
