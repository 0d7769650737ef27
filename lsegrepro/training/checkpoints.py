"""Checkpoints: the state of a training on disk, and whether it belongs to the training that is asked for."""

import io
import json
import time
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from ..config import LATER, Training
from ..files import LsegreproError, atomic
from ..network.devices import arithmetic
from ..network.model import PatchNet
from ..network.weights import Weights
from .batches import HardNegatives, WeakDataset


@dataclass
class TrainingState:
    """A network in training: all that a checkpoint holds."""

    net: PatchNet
    optimiser: torch.optim.Optimizer
    average: PatchNet | None  # of the weights, if the training asks for it
    loss_sum: Tensor  # scalar, the sum of the losses since the last row of the curve
    step: int = 0  # steps done
    curve: list[dict] = field(default_factory=list)
    began: float = field(default_factory=time.monotonic)  # on that clock, as if there had been no interruption

    @property
    def seconds(self) -> float:
        """Time spent on the training, interruptions left out."""
        return time.monotonic() - self.began

    def save(self, path: Path, identity: dict) -> None:
        """Write a checkpoint; `identity` is that of `identify`."""
        content = io.BytesIO()  # torch's own writing turns a full disk into a RuntimeError
        torch.save({
            "identity": json.dumps(identity), "step": self.step, "net": self.net.state_dict(),
            "optimiser": self.optimiser.state_dict(), "average": self.average.state_dict() if self.average else None,
            "curve": self.curve, "loss_sum": self.loss_sum, "seconds": self.seconds,
            "arithmetic": self._arithmetic(identity),
        }, content)
        with atomic(path) as temporary:
            temporary.write_bytes(content.getvalue())

    def restore(self, path: Path, identity: dict) -> None:
        """Resume from a checkpoint; raises `LsegreproError` if it is damaged or of another training."""
        try:
            saved = torch.load(path, map_location=self.loss_sum.device, weights_only=True)
            step, saved_identity = saved["step"], json.loads(saved["identity"])
        except Exception as error:  # torch, pickle, zipfile and json raise many kinds
            raise LsegreproError(f"{path} is damaged, or no checkpoint of this version: delete it and run "
                                 "again") from error
        require_same_training(identity, saved_identity, path, step)
        if (before := saved.get("arithmetic", now := self._arithmetic(identity))) != now:
            raise LsegreproError(f"{path} was computed in {before}, this machine would take {now}: go on where it "
                                 "began, or delete it and run again")
        self.net.load_state_dict(saved["net"])
        self.optimiser.load_state_dict(saved["optimiser"])
        if self.average is not None:
            self.average.load_state_dict(saved["average"])
        self.step, self.curve, self.loss_sum = step, saved["curve"], saved["loss_sum"]
        self.began = time.monotonic() - saved["seconds"]

    def _arithmetic(self, identity: dict) -> str:
        return arithmetic(self.loss_sum.device, identity["arguments"]["precision"])


def identify(
    config: Training, dataset: WeakDataset, start: Weights | None, hard_negatives: HardNegatives | None
) -> dict:
    """What makes two trainings the same: arguments, data, initial weights and hard negatives."""
    return {
        "arguments": config.record(),
        "data_digest": dataset.digest,
        "start_sha256": start.sha256 if start else None,
        "hard_digest": hard_negatives.digest if hard_negatives else None,
    }


def require_same_training(identity: dict, saved_identity: dict, path: Path, step: int | None = None) -> None:
    """Raise `LsegreproError`, naming what differs, unless a file was made by the training that is asked for.

    Up to its cooldown a training does not depend on its length. A checkpoint of a `step` before the cooldown of both
    may therefore have another length and cooldown: so a network branches off another training.

    >>> require_same_training({"arguments": {"seed": 0}}, {"arguments": {"seed": 1}}, Path("w.checkpoint"))
    Traceback (most recent call last):
    lsegrepro.files.LsegreproError: w.checkpoint has seed = 1, asked for 0: delete it or choose another run folder
    """
    asked, saved = (LATER | i | i["arguments"] for i in (identity, saved_identity))
    if step is not None and all(step * i["batch"] <= i["samples"] - i["cooldown"] for i in (asked, saved)):
        saved |= {key: asked[key] for key in ("samples", "cooldown")}
    for key in identity["arguments"] | asked:
        if key != "arguments" and saved.get(key) != asked[key]:
            raise LsegreproError(f"{path} has {key} = {saved.get(key)!r}, asked for {asked[key]!r}: delete it or "
                                 "choose another run folder")
