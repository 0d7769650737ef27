"""What a training leaves on the way, so that it goes on as if it had not been stopped."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

import torch

from ..config import LATER
from ..files import LsegreproError
from ..network import model
from ..network.weights import load_tensors, save_tensors, to_json


@dataclass
class State:
    """A training between two steps: what a checkpoint holds.

    Attributes
    ----------
    net : PatchNet
    optimiser : SGD
    running : Tensor
        Sum of the losses since the last row of the curve, a scalar on the device; of this process's
        share until `Team.mean` is taken.
    step : int
        Steps done.
    since : int
        Step of the last row of the curve.
    seconds : float
        Time spent before this process.
    average : PatchNet or None
        The mean of the weights, where the training takes one.
    """

    net: model.PatchNet
    optimiser: torch.optim.SGD
    running: torch.Tensor
    average: model.PatchNet | None = None
    step: int = 0
    since: int = 0
    seconds: float = 0.0

    @property
    def network(self) -> model.PatchNet:
        """The network that this training stands for: the averaged weights, or the last ones."""
        return self.average or self.net

    @torch.no_grad()
    def update_average(self, share: float) -> None:
        """Take the weights of this step into the mean, which reaches over a share of the steps so far."""
        if self.average is not None:
            torch._foreach_lerp_(list(self.average.parameters()), list(self.net.parameters()),
                                 min(1.0, 1 / (share * self.step)))

    def save(self, path: Path, identity: dict, seconds: float) -> None:
        """Write a checkpoint, atomically."""
        tensors = {**self.net.state_dict(), "running": self.running}
        for name, parameter in self.net.named_parameters():
            buffer = self.optimiser.state[parameter].get("momentum_buffer")
            if buffer is not None:
                tensors[f"momentum.{name}"] = buffer
        if self.average is not None:
            tensors |= {f"average.{name}": tensor for name, tensor in self.average.state_dict().items()}
        said = {"identity": to_json(identity), "step": str(self.step), "since": str(self.since),
                "seconds": f"{seconds:.3f}"}
        save_tensors(path, tensors, said | {"digest": _digest(tensors, said)})

    def restore(self, path: Path, identity: dict) -> None:
        """Go on from a checkpoint, if there is one. Raises `LsegreproError` if it is damaged or of another training."""
        if not path.is_file():
            return
        tensors, metadata = load_tensors(path)
        try:
            digest = metadata.pop("digest")
            found, step, seconds = json.loads(metadata["identity"]), int(metadata["step"]), float(metadata["seconds"])
            since = int(metadata["since"])
            if not (isinstance(found, dict) and 0 <= since <= step and 0 <= seconds < float("inf")):
                raise ValueError("no training has come to that")
        except (KeyError, ValueError, RecursionError) as error:
            raise LsegreproError(f"{path} is not a checkpoint of this program; delete it and run again") from error
        if digest != _digest(tensors, metadata):
            raise LsegreproError(f"{path} was altered or is damaged: delete it and run again")
        require_same(*_trajectories(identity, found, step), path)
        self._check(tensors, path)
        with torch.no_grad():
            for name, parameter in self.net.named_parameters():
                parameter.copy_(tensors[name])
                if self.average is not None:
                    self.average.get_parameter(name).copy_(tensors[f"average.{name}"])
                buffer = tensors.get(f"momentum.{name}")
                if buffer is not None:
                    # The buffer takes the parameter's memory layout, as in an uninterrupted run.
                    self.optimiser.state[parameter]["momentum_buffer"] = torch.empty_like(parameter).copy_(buffer)
            if "running" in tensors:
                self.running.copy_(tensors["running"])
        self.step, self.since, self.seconds = step, since, seconds

    def _check(self, tensors: dict[str, torch.Tensor], path: Path) -> None:
        """Refuse tensors that are not those of this network, or not all finite numbers."""
        wanted = {name: tuple(parameter.shape) for name, parameter in self.net.named_parameters()}
        if self.average is not None:
            wanted |= {f"average.{name}": shape for name, shape in wanted.items()}
        optional = {"running": (), **{f"momentum.{name}": tuple(parameter.shape)
                                      for name, parameter in self.net.named_parameters()}}
        for name, shape in {**wanted, **{key: optional[key] for key in optional.keys() & tensors.keys()}}.items():
            tensor = tensors.get(name)
            if tensor is None or tuple(tensor.shape) != shape or tensor.dtype != torch.float32:
                raise LsegreproError(f"{path} is not a checkpoint of this network ({name}); delete it and run again")
            if not tensor.isfinite().all():
                raise LsegreproError(f"{path}: {name} holds values that are not finite; delete it and run again")


def _trajectories(wanted: dict, found: dict, step: int) -> tuple[dict, dict]:
    """What two trainings must share so that one goes on from the other's checkpoint.

    Up to the cooldown a training does not depend on its length: then that and the cooldown may differ.
    """
    def without_end(identity: dict) -> dict:
        arguments = dict(identity["arguments"])
        samples, cooldown = arguments.pop("samples"), arguments.pop("cooldown", 0)
        return {**identity, "arguments": arguments} if step * arguments["batch"] <= samples - cooldown else identity

    return without_end(wanted), without_end(found)


def _digest(tensors: dict[str, torch.Tensor], said: dict[str, str]) -> str:
    """SHA-256 of all that a checkpoint holds: safetensors itself notices no flipped bit."""
    total = hashlib.sha256(to_json(said).encode())
    for name in sorted(tensors):
        array = tensors[name].detach().cpu().contiguous().numpy()
        total.update(f"\n{name} {array.dtype.str} {array.shape}\n".encode())
        total.update(array.tobytes())
    return total.hexdigest()


def require_same(wanted: dict, found: dict, path: Path) -> None:
    """Raise `LsegreproError`, naming what differs, unless a file was made by the training that is wanted.

    Parameters
    ----------
    wanted, found : dict
        What `training.identify` says of the one, and what the file says of itself.
    path : Path
        The file.

    >>> require_same({"arguments": {"seed": 0}}, {"arguments": {"seed": 1}}, Path("w.checkpoint"))
    Traceback (most recent call last):
    lsegrepro.files.LsegreproError: w.checkpoint has seed = 1, asked for 0: delete it or choose another run folder
    """
    wanted = json.loads(to_json(wanted))
    for key, value in wanted.items():
        other = found.get(key)
        if key == "arguments":
            value, other = LATER | value, LATER | (other or {})
            differing = [k for k in value if other.get(k) != value[k]]
            if differing:
                k = differing[0]
                raise LsegreproError(
                    f"{path} has {k} = {other.get(k)!r}, asked for {value[k]!r}: "
                    "delete it or choose another run folder"
                )
        elif other != value:
            raise LsegreproError(
                f"{path} was made with another {key.replace('_', ' ')}: delete it or choose another run folder"
            )
