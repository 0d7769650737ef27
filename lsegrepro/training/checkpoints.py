"""Checkpoints: what an interrupted training continues from, and whether it is the same training."""

from __future__ import annotations

import copy
import io
import json
from pathlib import Path

import torch

from ..config import LATER, Training
from ..files import LsegreproError, atomic, read_json
from ..network.weights import Weights, card_path
from .batches import HardNegatives, WeakDataset


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


def is_finished(out: Path, identity: dict) -> bool:
    """Whether the training is finished; raises `LsegreproError` if the weights in its place are of another one."""
    if not out.is_file():
        return False
    require_same(identity, read_json(card_path(out)), out)
    return True


def write_checkpoint(path: Path, identity: dict, state: dict) -> None:
    """Write the state of a training, tensors and numbers, with its identity."""
    content = io.BytesIO()  # torch's own writing turns a full disk into a RuntimeError
    torch.save({"identity": json.dumps(identity), **state}, content)
    with atomic(path) as temporary:
        temporary.write_bytes(content.getvalue())


def read_checkpoint(path: Path, identity: dict, device: torch.device) -> dict:
    """Read the state of a training; raises `LsegreproError` if it is damaged or of another training.

    Up to its cooldown a training does not depend on its length. Before the cooldown of both, the checkpoint may
    therefore have another length and cooldown: so a finished network branches off a longer training.
    """
    try:
        saved = torch.load(path, map_location=device, weights_only=True)
        step, made_by = saved["step"], json.loads(saved["identity"])
    except Exception as error:  # torch, pickle, zipfile and json raise many kinds
        raise LsegreproError(f"{path} is damaged, or no checkpoint of this version: delete it and run again") from error
    trainings = [copy.deepcopy(identity), made_by]
    before_cooldown = all(step * arguments["batch"] <= arguments["samples"] - arguments.get("cooldown", 0)
                          for arguments in (training["arguments"] for training in trainings))
    for training in trainings if before_cooldown else ():
        del training["arguments"]["samples"]
        training["arguments"].pop("cooldown", None)
    require_same(*trainings, path)
    return saved


def require_same(identity: dict, made_by: dict, path: Path) -> None:
    """Raise `LsegreproError`, naming what differs, unless a file was made by the same training.

    Parameters
    ----------
    identity : dict
        `identify` of the training that is asked for.
    made_by : dict
        The same of the training that made the file.
    path : Path
        The file.

    >>> require_same({"arguments": {"seed": 0}}, {"arguments": {"seed": 1}}, Path("w.checkpoint"))
    Traceback (most recent call last):
    lsegrepro.files.LsegreproError: w.checkpoint has seed = 1, asked for 0: delete it or choose another run folder
    """
    for key, value in json.loads(json.dumps(identity)).items():  # as in a file: tuples are lists
        other = made_by.get(key)
        if key == "arguments":
            for name in value | LATER:
                wanted, has = (arguments.get(name, LATER.get(name)) for arguments in (value, other or {}))
                if has != wanted:
                    raise LsegreproError(f"{path} has {name} = {has!r}, asked for {wanted!r}: "
                                         "delete it or choose another run folder")
        elif other != value:
            raise LsegreproError(f"{path} was made with another {key.replace('_', ' ')}: delete it or choose another "
                                 "run folder")
