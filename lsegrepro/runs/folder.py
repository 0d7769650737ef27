"""The folder of a run: where each result lies, and readers that check that a result belongs to the run.

Nothing is computed here, and no torch is needed. A run folder holds::

    weights/    {model}-{class}-round{1,2}-seed{s}.safetensors, .json (card), .jsonl (training curve)
    negatives/  {model}-{class}-seed{s}.npz
    evidence/   regions-{split}.npz, {model}-{class}-round{1,2}-seed{s}-{split}.npz
    cache/      superpixels, score maps, and the home folder of what is started; may be deleted
"""

import dataclasses
import os
import shlex
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from .. import evaluation, evidence
from ..config import DEPTHS, LATER, Profile, load_profile, read_card
from ..data import SegmentationSet, WeakSet
from ..evaluation import Curve
from ..evidence import Regions, Scores
from ..files import LsegreproError, read_jsonl

SPLITS = ("train", "val")
DATA_VARIABLE = "LSEGREPRO_DATA"
Network = tuple[str, str, int, int]
"""A network of a run: model, class, round, seed."""


@dataclass(frozen=True, eq=False)  # a run is itself: what is computed of it is cached by it
class RunPaths:
    """A run: its profile, its networks, and where their files lie."""

    profile: Profile
    folder: Path
    data: Path | None = None  # root of the photographs; None takes the environment variable LSEGREPRO_DATA
    device: str = "auto"  # for the commands that compute; auto is a GPU where there is one
    # Where reproduction begins: scratch, at the photographs; weights, at the published ones, which are taken instead of
    # made; evidence, and then no photograph is looked at.
    depth: str = "scratch"
    progress: bool = True  # whether the commands that compute show a progress bar

    def name(self, model: str, cls: str, round: int = 1, seed: int = 0) -> str:
        """Name of a network's files. Raises `LsegreproError` if there is no such model, class, round or seed.

        >>> open_run("quick").name("LSE1", "cat", 2)
        'LSE1-cat-round2-seed0'
        """
        self.profile.arguments(model, cls, round, seed)
        return f"{model}-{cls}-round{round}-seed{seed}"

    def networks(self) -> list[Network]:
        """Every (model, class, round, seed) of the profile."""
        p = self.profile
        return [(m, c, r, s) for m in p.models for c in p.classes for r in p.rounds for s in p.seeds]

    def last_networks(self) -> list[Network]:
        """Those of `networks` of the last round: what training was for, and the weights that are published."""
        return [network for network in self.networks() if network[2] == self.profile.rounds[-1]]

    def weights_path(self, model: str, cls: str, round: int = 1, seed: int = 0) -> Path:
        return self.folder / "weights" / (self.name(model, cls, round, seed) + ".safetensors")

    def card_path(self, model: str, cls: str, round: int = 1, seed: int = 0) -> Path:
        """Path of the card of a trained network, beside its weights."""
        return self.weights_path(model, cls, round, seed).with_suffix(".json")

    def negatives_path(self, model: str, cls: str, seed: int = 0) -> Path:
        return self.folder / "negatives" / f"{model}-{cls}-seed{seed}.npz"

    def regions_path(self, split: str) -> Path:
        require_choice("split", split, SPLITS)
        return self.folder / "evidence" / f"regions-{split}.npz"

    def scores_path(self, model: str, cls: str, round: int = 1, seed: int = 0, split: str = "val") -> Path:
        return self.folder / "evidence" / f"{self.name(model, cls, round, seed)}-{split}.npz"

    @property
    def data_root(self) -> Path:
        """Folder of the photographs. Raises `LsegreproError` if none is named, or it does not exist."""
        if self.depth == "evidence":
            raise LsegreproError("at depth evidence no photograph is looked at: take depth weights or scratch")
        given = self.data or os.environ.get(DATA_VARIABLE)
        if not given:
            raise LsegreproError(f"profile {self.profile.name} needs photographs: set {DATA_VARIABLE} (or --data) to "
                                 "their folder, or take profile quick, which draws its own")
        root = Path(given)
        if not root.is_dir():
            raise LsegreproError(f"the data folder {root} does not exist: set {DATA_VARIABLE} (or --data) to it")
        return root


@dataclass(frozen=True, eq=False)
class RunFolder(RunPaths):
    """A run with readers of its data sets and results.

    A reader raises `LsegreproError` if the file is not there (with the command that makes it), is damaged, or is of
    another configuration than the profile's.
    """

    def weak(self, split: str) -> WeakSet:
        """Images with labels; `split` is train or heldout."""
        from ..data.drawn import DrawnWeak
        from ..data.sources import open_weak

        data = self.profile.data
        fraction = data.fraction if split == "train" else 1.0
        if data.kind == "drawn":
            count = data.weak_train if split == "train" else data.weak_heldout
            return DrawnWeak(split, max(1, round(count * fraction)), data.seed)
        return open_weak(self.data_root, data.weak, split, heldout=data.heldout, fraction=fraction)

    def segmentation(self, split: str) -> SegmentationSet:
        """Images with masks; `split` is train (for choosing theta) or val."""
        from ..data.drawn import DrawnSegmentation
        from ..data.voc import VocSegmentation

        data = self.profile.data
        if data.kind == "drawn":
            count = data.segmentation_train if split == "train" else data.segmentation_val
            return DrawnSegmentation(split, count, data.seed)
        return VocSegmentation(self.data_root / data.segmentation, split)

    def card(self, model: str, cls: str, round: int = 1, seed: int = 0) -> dict:
        """The card of a trained network: configuration, digests, device and hours."""
        network = (model, cls, round, seed)
        path = self.card_path(*network)
        require_file(self, path, "train", network)
        card = read_card(path)
        require_same(self, path, dataclasses.asdict(self.profile.arguments(*network)), LATER | card["arguments"])
        if round == 2 and self.card_path(model, cls, 1, seed).is_file():
            require_same(self, path, {"start_sha256": self.card(model, cls, 1, seed).get("sha256")}, card)
        return card

    def curve(self, model: str, cls: str, round: int = 1, seed: int = 0) -> list[dict]:
        """Rows of a training curve, as far as it goes: step, samples, loss, held-out accuracy."""
        path = self.weights_path(model, cls, round, seed).with_suffix(".jsonl")
        require_file(self, path, "train", (model, cls, round, seed))
        return read_jsonl(path)

    def images_seen(self, model: str, cls: str, round: int = 1, seed: int = 0) -> int:
        """Training images that a network has seen in all rounds up to its own, with repetition; unknown ones are 0."""
        rounds = [r for r in range(1, round + 1) if self.card_path(model, cls, r, seed).is_file()]
        return sum(self.card(model, cls, r, seed)["samples"] for r in rounds)

    def regions(self, split: str) -> Regions:
        """Superpixels of a split and the truth in each."""
        path = self.regions_path(split)
        require_file(self, path, f"score --split {split}")
        regions = evidence.read_regions(path)
        wanted = {"split": split, "superpixels": self.profile.superpixels}
        if self.profile.data.kind == "drawn":  # photographs may be absent, or others than those scored
            wanted["data_digest"] = self.segmentation(split).digest
        require_same(self, path, wanted, {key: getattr(regions, key) for key in wanted})
        return regions

    def scores(self, model: str, cls: str, round: int = 1, seed: int = 0, split: str = "val") -> Scores:
        """Scores of a network on a split, in each superpixel."""
        network = (model, cls, round, seed)
        path, regions = self.scores_path(*network, split), self.regions(split)
        require_file(self, path, f"score --split {split}", network)
        scores = evidence.read_scores(path, regions)
        wanted = {"model": model, "class": cls, "round": round, "seed": seed, "split": split,
                  "arguments": dataclasses.asdict(self.profile.scoring)}
        if self.card_path(*network).is_file():  # weights may be elsewhere
            wanted["weights_sha256"] = self.card(*network).get("sha256")
        require_same(self, path, wanted, scores.meta)
        return scores

    def has_scores(self, model: str, cls: str, round: int = 1, seed: int = 0, split: str = "val") -> bool:
        return self.scores_path(model, cls, round, seed, split).is_file()

    def smoothed(self, model: str, cls: str, round: int = 1, seed: int = 0, split: str = "val") -> Curve:
        """The exact curve of Figure 5 after smoothing by superpixels."""
        return evaluation.smoothed_curve(self.regions(split), self.scores(model, cls, round, seed, split))

    def seeds(self, model: str, cls: str, round: int = 1) -> tuple[int, ...]:
        """The seeds of the profile that a network is scored with on both splits.

        All of them if it is with none, so that whoever asks further is told which file is missing.
        """
        scored = (seed for seed in self.profile.seeds
                  if all(self.has_scores(model, cls, round, seed, split) for split in SPLITS))
        return tuple(scored) or self.profile.seeds

    def has_network(self, model: str, cls: str, round: int = 1) -> bool:
        """Whether a network is scored on both splits, with one seed of the profile at least."""
        p = self.profile
        return model in p.models and cls in p.classes and round in p.rounds and all(
            self.has_scores(model, cls, round, self.seeds(model, cls, round)[0], split) for split in SPLITS)


def has_images(run: RunFolder) -> bool:
    """Whether the images of a run are at hand; from published weights on, those of val are enough."""
    try:
        run.segmentation("val")
        return run.depth == "weights" or bool(run.weak("heldout"))
    except LsegreproError:
        return False


def require_choice(what: str, value: str, choices: Iterable[str]) -> None:
    """Raise `LsegreproError` with the choices if `value` is none of them."""
    if value not in choices:
        raise LsegreproError(f"unknown {what} {value!r}: choose one of {', '.join(choices)}")


def require_file(run: RunFolder, path: Path, command: str, network: Network | None = None) -> None:
    """Raise `LsegreproError` with the command that makes a file if it is not there."""
    if path.is_file():
        return
    words = ["lsegrepro", *command.split(), "--profile", run.profile.spec, "--run", run.folder.as_posix()]
    for option, value in zip(("--model", "--class", "--round", "--seed"), network or (), strict=False):
        words += [option, str(value)]
    raise LsegreproError(f"{path} is not there; this makes it: {shlex.join(words)}")


def require_same(run: RunFolder, path: Path, wanted: dict, found: dict) -> None:
    """Raise `LsegreproError` if a result was made for something else than this run."""
    for key, value in wanted.items():
        if found.get(key) != value:
            raise LsegreproError(f"{path} was made with {key} = {found.get(key)!r}, profile {run.profile.name} says "
                                 f"{value!r}: delete it or choose another run folder")


def repository() -> Path | None:
    """The checkout that holds this package, or else the working folder; None if neither is in one."""
    for folder in (*Path(__file__).resolve().parents, Path.cwd(), *Path.cwd().parents):
        project = folder / "pyproject.toml"
        if project.is_file() and 'name = "lsegrepro"' in project.read_text(encoding="utf-8"):
            return folder
    return None


def in_repository(path: str | Path) -> Path:
    """A path below the checkout as seen from the working folder, so that a notebook in ``notebooks/`` finds it too."""
    root = repository()
    if root and Path.cwd().resolve().is_relative_to(root):
        return Path(os.path.relpath(root / path))
    return (root or Path()) / path


def open_run(
    profile: str | Path = "quick", folder: str | Path | None = None, *, data: str | Path | None = None,
    device: str = "auto", depth: str = "scratch", progress: bool = True,
) -> RunFolder:
    """Open a run of a profile (as in `load_profile`); nothing is computed. Other arguments as in `RunFolder`.

    A relative `folder` that is not in the working folder is looked for in the repository. By default it is the
    repository's ``runs/{profile}``, or ``runs/{profile}-weights`` at depth weights, which has the last round alone.
    """
    require_choice("depth", depth, DEPTHS)
    loaded = load_profile(profile)
    if depth == "weights":
        loaded = dataclasses.replace(loaded, rounds=loaded.rounds[-1:])  # no other weights are published
    if not folder:
        folder = in_repository(Path("runs", f"{loaded.name}-weights" if depth == "weights" else loaded.name))
    elif not Path(folder).exists() and in_repository(folder).is_dir():
        folder = in_repository(folder)
    return RunFolder(loaded, Path(folder), Path(data) if data else None, device, depth, progress)
