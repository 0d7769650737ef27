"""Save and load weights: safetensors, with a JSON card beside them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save

from .. import paper
from ..config import read_card
from ..files import LsegreproError, atomic, one_line, sha256, write_json
from .model import PatchNet


@dataclass(frozen=True)
class Weights:
    """A trained network, its card and the digest of its file."""

    net: PatchNet
    card: dict
    sha256: str

    @property
    def model(self) -> str:
        """Its row of Table 2."""
        return self.card["arguments"]["model"]

    @property
    def cls(self) -> str:
        """The class it was trained for."""
        return self.card["arguments"]["cls"]


def card_path(path: str | Path) -> Path:
    """The card of a weights file: the same name, ending in .json."""
    return Path(path).with_suffix(".json")


def save_weights(path: str | Path, net: PatchNet, card: dict) -> None:
    """Write float32 weights and their card; the weights come last, so a weights file always has a card.

    The card gains the architecture's name and the digest of the weights.
    """
    path = Path(path)
    tensors = {name: t.detach().float().cpu().contiguous() for name, t in net.state_dict().items()}
    with atomic(path) as temporary:
        temporary.write_bytes(save(tensors, {"architecture": net.architecture.name}))
        write_json(card_path(path), {"architecture": net.architecture.name, "sha256": sha256(temporary), **card})


def load_weights(path: str | Path, *, model: str | None = None, cls: str | None = None) -> Weights:
    """Read a network; in float32, in evaluation mode.

    Parameters
    ----------
    path : path
        A ``.safetensors`` file with its card beside it.
    model, cls : str, optional
        If given, the weights must be of this model's architecture and of this class.

    Raises
    ------
    LsegreproError
        If the file is absent, no safetensors file, damaged, of another architecture or class,
        or holds a value that is not finite.
    """
    path = Path(path)
    tensors, metadata = load_tensors(path)
    if not card_path(path).is_file():
        raise LsegreproError(f"{path} has no card {card_path(path).name} beside it: keep the two files together")
    card = read_card(card_path(path))
    digest = sha256(path)
    if card.get("sha256") != digest:
        raise LsegreproError(f"{path} and its card disagree on the digest: one of them was changed or is incomplete")
    arguments = card["arguments"]
    name = metadata.get("architecture", "")
    if name not in paper.ARCHITECTURES:
        raise LsegreproError(f"{path} names the architecture {name!r}, which this version does not know")
    if model is not None and arguments.get("model") != model:
        raise LsegreproError(f"{path} holds {arguments.get('model')} (architecture {name}), not {model}")
    if cls is not None and arguments.get("cls") != cls:
        raise LsegreproError(f"{path} was trained for {arguments.get('cls')}, not {cls}")
    net = PatchNet(paper.ARCHITECTURES[name], output=arguments.get("output", "tanh"))
    expected = {key: tuple(value.shape) for key, value in net.state_dict().items()}
    shapes = {key: tuple(value.shape) for key, value in tensors.items()}
    for key in sorted(expected | shapes):
        if expected.get(key) != shapes.get(key):
            raise LsegreproError(f"{path}: {key} has shape {shapes.get(key)}, {name} needs {expected.get(key)}")
    for key, value in tensors.items():
        if value.dtype != torch.float32:
            raise LsegreproError(f"{path}: {key} holds {str(value.dtype).removeprefix('torch.')}, weights are float32")
        if not torch.isfinite(value).all():
            raise LsegreproError(f"{path}: {key} holds values that are not finite; the training diverged")
    net.load_state_dict(tensors)
    return Weights(net.eval(), card, digest)


def load_tensors(path: str | Path) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    """Read a safetensors file: its tensors and its metadata. Raises `LsegreproError`."""
    if not Path(path).is_file():
        raise LsegreproError(f"no weights file {path}")
    try:
        with safe_open(path, framework="pt") as file:
            return {key: file.get_tensor(key) for key in file.keys()}, dict(file.metadata() or {})
    except Exception as error:  # safetensors, Python and torch raise errors of their own
        raise LsegreproError(f"{path} is not a safetensors file, or is damaged ({one_line(error)})") from error


def to_json(value: object) -> str:
    """Compact JSON with sorted keys; refuses NaN."""
    return json.dumps(value, sort_keys=True, allow_nan=False)
