"""A run: a profile, a folder of results, and the calls that make whatever is missing.

Notebooks, the command line and the workflow all go through `Run`. Each call first looks
for its result in the folder; only what is not there is trained, mined or scored. Reading
results needs neither torch nor photographs.

A run folder holds::

    weights/    {model}-{class}-round{1,2}-seed{s}.safetensors, .json (card), .jsonl (curve)
    negatives/  {model}-{class}-seed{s}.npz
    evidence/   regions-{split}.npz, {model}-{class}-round{1,2}-seed{s}-{split}.npz
    cache/      superpixels and score maps; may be deleted
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import shutil
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from .. import evaluation, evidence, paper
from ..config import DEPTHS, LATER, read_card
from ..files import LsegreproError
from ..evaluation import Curve
from ..evidence import Regions, Scores
from ..files import digest, read_jsonl
from ..config import Profile, load_profile
from .publish import adopt_weights

if TYPE_CHECKING:
    import torch

    from ..data import SegmentationSet, WeakSet
    from ..training.batches import Decoded, HardNegatives
    from ..network.weights import Weights

SPLITS = ("train", "val")
DATA_VARIABLE = "LSEGREPRO_DATA"


@dataclass(frozen=True)
class Run:
    """One run of one profile.

    Attributes
    ----------
    profile : Profile
    folder : Path
    data : Path or None
        Root of the photographs; None takes the environment variable LSEGREPRO_DATA.
    device : str
        ``"auto"`` is a GPU where there is one.
    progress : bool
    compute : bool
        If False, a missing result is an error instead of work.
    depth : {"scratch", "weights", "evidence"}
        Where reproduction begins: at the photographs; at the published weights and hard negatives, which are
        taken instead of made; or at the evidence, and then no photograph is looked at.
    parent, shared : Path or None, tuple of str
        A run that varies another one: the folder of that one, and the kinds of results (regions, weights, negatives;
        round1 for the weights of round 1 alone) that are the same for both and lie there.
    """

    profile: Profile
    folder: Path
    data: Path | None = None
    device: str = "auto"
    progress: bool = True
    compute: bool = True
    depth: str = "scratch"
    parent: Path | None = None
    shared: tuple[str, ...] = ()

    # Data

    @property
    def root(self) -> Path:
        """Where the photographs are. Raises `LsegreproError` if that is not known."""
        if self.depth == "evidence":
            raise LsegreproError("at depth evidence no photograph is looked at: take depth weights or scratch")
        given = self.data or os.environ.get(DATA_VARIABLE)
        if not given:
            raise LsegreproError(
                f"profile {self.profile.name} needs photographs: set {DATA_VARIABLE} (or --data) to their folder, "
                "or take profile quick, which draws its own"
            )
        root = Path(given)
        if not root.is_dir():
            raise LsegreproError(f"the data folder {root} does not exist: set {DATA_VARIABLE} (or --data) to it")
        return root

    @property
    def has_data(self) -> bool:
        """Whether the pictures of this run can be had; from published weights on, those of val are enough."""
        try:
            self.segmentation("val")
            if self.depth != "weights":
                self.weak("heldout")
        except LsegreproError:
            return False
        return True

    def weak(self, split: str) -> WeakSet:
        """Images with labels; `split` is train or heldout. Another image stands in for one that cannot be read."""
        data = self.profile.data
        if data.kind == "drawn":
            from ..data.drawn import DrawnWeak

            count = max(1, round(data.weak_train * data.fraction)) if split == "train" else data.weak_heldout
            return DrawnWeak(split, count, data.seed)
        from ..data.joined import open_weak
        from ..data.tolerant import Tolerant

        fraction = data.fraction if split == "train" else 1.0
        return Tolerant(open_weak(self.root, data.weak, split, heldout=data.heldout, fraction=fraction))

    def segmentation(self, split: str) -> SegmentationSet:
        """Images with masks; `split` is train (for choosing theta) or val."""
        data = self.profile.data
        if data.kind == "drawn":
            from ..data.drawn import DrawnSegmentation

            count = data.segmentation_train if split == "train" else data.segmentation_val
            return DrawnSegmentation(split, count, data.seed)
        from ..data.voc import VocSegmentation

        return VocSegmentation(self.root / data.segmentation, split)

    @cached_property
    def _decoded(self) -> dict[str, Decoded]:
        from ..training.batches import Decoded

        return {s: Decoded(self.weak(s), self.torch_device, self.progress) for s in ("train", "heldout")}

    @cached_property
    def torch_device(self) -> torch.device:
        """The device that does the work, by `distributed.own_device`. Raises `LsegreproError` if it is not there."""
        from ..training.distributed import own_device

        return own_device(self.device)

    # Results

    def name(self, model: str, cls: str, round: int = 1, seed: int = 0) -> str:
        """Name of a trained network; raises `LsegreproError` if the profile has no such network."""
        if model not in paper.MODELS:
            raise LsegreproError(f"unknown model {model!r}: choose one of {', '.join(paper.MODELS)}")
        if cls not in paper.CLASSES:
            raise LsegreproError(f"unknown class {cls!r}: choose one of {', '.join(paper.CLASSES)}")
        if round not in (1, 2):
            raise LsegreproError(f"round must be 1 or 2, got {round}")
        if seed < 0:
            raise LsegreproError(f"training.seed must be in [0, 2^63), got {seed}")
        return f"{model}-{cls}-round{round}-seed{seed}"

    def path(self, kind: str, *parts: str, suffix: str) -> Path:
        """Where a result is kept."""
        return self._place(kind) / kind / ("-".join(parts) + suffix)

    def _place(self, *kinds: str) -> Path:
        """The folder of results of any of these kinds: the other run's, where they are the same for both."""
        return self.parent if self.parent and not set(kinds).isdisjoint(self.shared) else self.folder

    def weights_path(self, model: str, cls: str, round: int = 1, seed: int = 0) -> Path:
        """Where a trained network is kept."""
        own = self._place("weights", f"round{round}")
        return own / "weights" / (self.name(model, cls, round, seed) + ".safetensors")

    def weights(self, model: str, cls: str, round: int = 1, seed: int = 0) -> Weights:
        """A trained network, on the run's device; trained now if it is not there."""
        import torch

        from ..network.weights import load_weights

        path = self.trained(model, cls, round, seed)
        weights = load_weights(path, model=model, cls=cls)
        weights.net.to(self.torch_device, memory_format=torch.channels_last)
        return weights

    def trained(
        self, model: str, cls: str, round: int = 1, seed: int = 0, *, stop_after: int | None = None
    ) -> Path:
        """The weights file of a network, trained now if it is not there.

        With `stop_after`, at most so many steps; then the path may be a checkpoint's.
        """
        path = self.weights_path(model, cls, round, seed)
        if path.is_file():
            self._trained_as_wanted(path, model, cls, round, seed)
            self._clear(path.with_suffix(".checkpoint"))
            return path
        self.needs(path)
        if self.depth == "weights":
            adopt_weights(path)
            return self.trained(model, cls, round, seed)  # and check it
        from ..training.loop import train

        data = self._decoded
        return train(
            self.profile.arguments(model, cls, round, seed), data["train"], path, heldout=data["heldout"],
            start=self.weights(model, cls, 1, seed) if round == 2 else None,
            hard=self.negatives(model, cls, seed) if round == 2 else None,
            device=self.torch_device, progress=self.progress, stop_after=stop_after,
        )

    def trained_card(self, model: str, cls: str, round: int = 1, seed: int = 0) -> dict:
        """The card of a network, trained now if it is not there; where nothing is computed, weights may be absent."""
        if self.compute:
            self.trained(model, cls, round, seed)
        if not (card := self.card(model, cls, round, seed)):
            self.needs(self.weights_path(model, cls, round, seed).with_suffix(".json"))
        return card

    def _trained_as_wanted(self, path: Path, model: str, cls: str, round: int, seed: int) -> None:
        """Refuse weights of other arguments, and of other images where those of this run are at hand."""
        card = self.card(model, cls, round, seed)
        if not card:
            raise LsegreproError(f"{path} has no card {path.stem}.json beside it: keep the two files together")
        found = {"data_digest": card.get("data_digest"), **LATER, **card.get("arguments", {})}
        wanted = dataclasses.asdict(self.profile.arguments(model, cls, round, seed))
        if self.compute and not card.get("published") and self._weak_digest:
            wanted["data_digest"] = self._weak_digest
        if round == 2 and (first := self.card(model, cls, 1, seed)):
            found["start_sha256"], wanted["start_sha256"] = card.get("start_sha256"), first.get("sha256")
        self._as_wanted(path, wanted, found)

    @cached_property
    def _weak_digest(self) -> str:
        """Digest of the training images, or nothing if they are not at hand."""
        try:
            return self.weak("train").digest
        except LsegreproError:
            return ""

    def card(self, model: str, cls: str, round: int = 1, seed: int = 0) -> dict:
        """The card of a trained network, or {} if it is not trained."""
        path = self.weights_path(model, cls, round, seed).with_suffix(".json")
        return read_card(path) if path.is_file() else {}

    def images_seen(self, model: str, cls: str, round: int = 1, seed: int = 0) -> int:
        """Training images that a network has seen in all rounds up to its own, with repetition; 0 if unknown."""
        return sum(self.card(model, cls, r, seed).get("samples", 0) for r in range(1, round + 1))

    def curve(self, model: str, cls: str, round: int = 1, seed: int = 0) -> list[dict]:
        """Rows of a training curve, as far as it goes: step, samples, loss, held-out accuracy."""
        path = self.weights_path(model, cls, round, seed).with_suffix(".jsonl")
        return read_jsonl(path) if path.is_file() else []

    def negatives_path(self, model: str, cls: str, seed: int = 0) -> Path:
        """Where the hard negatives of a network are kept."""
        return self.path("negatives", f"{model}-{cls}-seed{seed}", suffix=".npz")

    def mined(self, model: str, cls: str, seed: int = 0) -> Path:
        """The hard negatives that round 1 leaves; mined now if they are not there."""
        from ..training.distributed import alone
        from ..training.mining import mine, read_meta

        path = self.negatives_path(model, cls, seed)
        if path.is_file():
            found = read_meta(path)
            used = found.get("weights_sha256")
            if (found.get("mining") != dataclasses.asdict(self.profile.mining)
                    or used != self.card(model, cls, 1, seed).get("sha256", used)):
                raise LsegreproError(
                    f"{path} was mined with other arguments or weights than profile {self.profile.name} "
                    f"has in {self.folder}: delete it or choose another run folder"
                )
            self._clear(path.with_name(f"{path.name}.parts"))
        else:
            self.needs(path)
            alone(f"mining {path}")
            held = self._decoded["heldout"]
            mine(self.weights(model, cls, 1, seed), held, held.weak.names, path, self.profile.mining,
                 progress=self.progress)
        return path

    def negatives(self, model: str, cls: str, seed: int = 0) -> HardNegatives:
        """Hard negatives with their pixels, for round 2."""
        from ..training.mining import read_negatives

        held = self._decoded["heldout"]
        return read_negatives(self.mined(model, cls, seed), held, held.weak.names)

    def regions_path(self, split: str) -> Path:
        """Where the regions of a split are kept."""
        if split not in SPLITS:
            raise LsegreproError(f"unknown split {split!r}: choose train or val")
        return self._place("regions") / "evidence" / f"regions-{split}.npz"

    @property
    def superpixels_path(self) -> Path:
        """The folder that keeps the superpixels of each image, until it is deleted."""
        return self.regions_path("val").parents[1] / "cache" / "superpixels"

    def regions(self, split: str) -> Regions:
        """Superpixels of a split and the truth in each; counted now if they are not there."""
        path = self.regions_path(split)
        if not path.is_file():
            self.needs(path)
            from ..evidence.scoring import count_regions

            regions = count_regions(self.segmentation(split), split, self.profile.superpixels,
                                    self.superpixels_path, progress=self.progress)
            evidence.write_regions(path, regions)
        regions = evidence.read_regions(path)
        wanted = {"split": split, "superpixels": self.profile.superpixels}
        if self.profile.data.kind == "drawn":  # photographs may be absent, or others than those scored
            wanted["data_digest"] = self.segmentation(split).digest
        self._as_wanted(path, wanted, {key: getattr(regions, key) for key in wanted})
        return regions

    def scores_path(self, model: str, cls: str, round: int = 1, seed: int = 0, split: str = "val") -> Path:
        """Where the evidence of a scored network is kept."""
        return self.path("evidence", self.name(model, cls, round, seed), split, suffix=".npz")

    def scores(self, model: str, cls: str, round: int = 1, seed: int = 0, split: str = "val") -> Scores:
        """Evidence of a network on a split; scored now if it is not there."""
        path = self.scores_path(model, cls, round, seed, split)
        regions = self.regions(split)
        if not path.is_file():
            self.needs(path)
            from ..evidence.scoring import score_set

            weights = self.weights(model, cls, round, seed)
            scores = score_set(weights, self.segmentation(split), regions, self.profile.scoring,
                               maps=self.maps_path(weights), progress=self.progress,
                               superpixels=self.superpixels_path)
            evidence.write_scores(path, scores)
        scores = evidence.read_scores(path, regions)
        self._as_wanted(path, {"model": model, "class": cls, "round": round, "seed": seed, "split": split,
                               "arguments": dataclasses.asdict(self.profile.scoring)}, scores.meta)
        used = scores.meta["weights_sha256"]
        if used != self.card(model, cls, round, seed).get("sha256", used):
            raise LsegreproError(f"{path} was scored with other weights than those in {self.folder}: delete it")
        return scores

    def maps_path(self, weights: Weights) -> Path:
        """The folder that keeps the score maps of a network, one file an image, until it is deleted."""
        made_by = digest([weights.sha256, dataclasses.asdict(self.profile.scoring), evidence.code_digest()])
        return self.folder / "cache" / "maps" / made_by

    def has_scores(self, model: str, cls: str, round: int = 1, seed: int = 0, split: str = "val") -> bool:
        """Whether the evidence of a network on a split is there."""
        return self.scores_path(model, cls, round, seed, split).is_file()

    def seeds(self, model: str, cls: str, round: int = 1) -> tuple[int, ...]:
        """The seeds of the profile that a network is scored with on both splits; all of them, if this run may compute.

        All of them too if none is there, so that whoever asks further is told which file is missing.
        """
        there = tuple(s for s in self.profile.seeds
                      if self.compute or all(self.has_scores(model, cls, round, s, split) for split in SPLITS))
        return there or self.profile.seeds

    def holds(self, model: str, cls: str, round: int = 1) -> bool:
        """Whether the profile has a network, and its evidence is there or can be made."""
        p = self.profile
        if model not in p.models or cls not in p.classes or round not in p.rounds:
            return False
        return self.compute or any(
            all(self.has_scores(model, cls, round, s, split) for split in SPLITS) for s in p.seeds)

    def smoothed(self, model: str, cls: str, round: int = 1, seed: int = 0, split: str = "val") -> Curve:
        """The exact curve of Figure 5 after smoothing by superpixels."""
        return evaluation.smoothed_curve(self.regions(split), self.scores(model, cls, round, seed, split))

    def networks(self) -> list[tuple[str, str, int, int]]:
        """Every (model, class, round, seed) of the profile."""
        p = self.profile
        return [(m, c, r, s) for m in p.models for c in p.classes for r in p.rounds for s in p.seeds]

    def last_networks(self) -> list[tuple[str, str, int, int]]:
        """Those of `networks` of the last round: what training was for, and the weights that are published."""
        return [network for network in self.networks() if network[2] == self.profile.rounds[-1]]

    def _clear(self, path: Path) -> None:
        """Remove what a process left that was killed after its result was whole, before it tidied up."""
        if self.compute and path.exists():
            with contextlib.suppress(OSError):  # a folder for reading only
                shutil.rmtree(path) if path.is_dir() else path.unlink()

    def _as_wanted(self, path: Path, wanted: dict, found: dict) -> None:
        """Refuse a result that was made for something else."""
        for key, value in wanted.items():
            if found.get(key) != value:
                raise LsegreproError(
                    f"{path} was made with {key} = {found.get(key)!r}, profile {self.profile.name} says "
                    f"{value!r}: delete it or choose another run folder"
                )

    def needs(self, path: Path) -> None:
        """Raise `LsegreproError` if this run was opened to compute nothing: `path` is about to be made."""
        if not self.compute:
            raise LsegreproError(f"{path} is not there, and this call was asked to compute nothing")


def open_run(
    profile: str | Path = "quick", folder: str | Path | None = None, *, data: str | Path | None = None,
    device: str = "auto", depth: str = "scratch", progress: bool = True, compute: bool = True,
) -> Run:
    """Open a run; nothing is computed yet.

    Parameters
    ----------
    profile : str
        quick, local, full, paper or the path of a TOML file.
    folder : path, optional
        Where results are kept; default ``runs/{profile}``, or ``runs/{profile}-weights`` at depth weights.
    data : path, optional
        Root of the photographs; default the environment variable LSEGREPRO_DATA.
    device : str
        auto, cpu, cuda or cuda:N.
    depth : str
        One of `arguments.DEPTHS`, as in `Run`; depth evidence computes nothing but what evidence holds, and a run
        of depth weights has the last round alone.

    >>> open_run("quick").folder.as_posix()
    'runs/quick'
    """
    if depth not in DEPTHS:
        raise LsegreproError(f"unknown depth {depth!r}: choose one of {', '.join(DEPTHS)}")
    loaded = load_profile(profile)
    if depth == "weights":
        loaded = dataclasses.replace(loaded, rounds=loaded.rounds[-1:])  # no other weights are published
    own = Path("runs") / (f"{loaded.name}-weights" if depth == "weights" else loaded.name)
    return Run(loaded, Path(folder) if folder else own, Path(data) if data else None,
               device, progress, compute and depth != "evidence", depth)
