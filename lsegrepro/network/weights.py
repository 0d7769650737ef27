"""Save and load weights: safetensors, with a JSON card beside them."""

from __future__ import annotations

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
    """Read a network from a ``.safetensors`` file with its card beside it; in float32, in evaluation mode.

    Raises `LsegreproError` if the file is absent, damaged, of another architecture than it says, of another `model` or
    `cls` than asked for, or holds a value that is not finite.
    """
    path = Path(path)
    if not path.is_file():
        raise LsegreproError(f"no weights file {path}")
    try:
        with safe_open(path, framework="pt") as file:
            tensors, metadata = {key: file.get_tensor(key) for key in file.keys()}, file.metadata() or {}
    except Exception as error:  # safetensors, Python and torch raise errors of their own
        raise LsegreproError(f"{path} is not a safetensors file, or is damaged ({one_line(error)})") from error
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
    try:
        net.load_state_dict(tensors)
    except RuntimeError as error:
        raise LsegreproError(f"{path} does not hold the weights of {name}: {one_line(error)}") from error
    for key, value in tensors.items():
        if value.dtype != torch.float32 or not value.isfinite().all():
            raise LsegreproError(f"{path}: {key} holds values that are not finite float32; the training diverged")
    return Weights(net.eval(), card, digest)
