"""Weights on disk: what goes in comes out, and anything else is refused without being run."""

import json

import pytest
import torch
from conftest import refused
from safetensors.torch import load_file, save_file

from lsegrepro.files import sha256, write_json
from lsegrepro.network.model import PatchNet
from lsegrepro.network.weights import card_path, load_weights, save_weights

CARD = {"arguments": {"model": "LSE1", "cls": "cat"}, "samples": 1}


@pytest.fixture
def stored(tmp_path, tiny_net):
    path = tmp_path / "LSE1-cat.safetensors"
    save_weights(path, tiny_net, CARD)
    return path


def rewrite(path, tensors=None, **metadata):
    """Other content under the same name, with a card that vouches for it."""
    save_file(load_file(path) if tensors is None else tensors, path, metadata={"architecture": "tiny"} | metadata)
    write_json(card_path(path), json.loads(card_path(path).read_text()) | {"sha256": sha256(path)})


def unusable(path, *parts, **arguments):
    refused(lambda: load_weights(path, **arguments), path, *parts)


def test_round_trip(stored, tiny_net, tmp_path):
    weights = load_weights(stored, model="LSE1", cls="cat")
    assert (weights.model, weights.cls) == ("LSE1", "cat") and not weights.net.training
    assert weights.sha256 == sha256(stored) == weights.card["sha256"]
    assert weights.card == CARD | {"architecture": "tiny", "sha256": weights.sha256}
    before, after = tiny_net.state_dict(), weights.net.state_dict()
    assert list(before) == list(after)
    assert all(torch.equal(before[k], after[k]) and after[k].dtype == torch.float32 for k in before)
    assert sorted(p.name for p in stored.parent.iterdir()) == ["LSE1-cat.json", "LSE1-cat.safetensors"]
    # The same weights are the same bytes, whatever their layout in memory.
    save_weights(tmp_path / "b.safetensors", tiny_net.to(memory_format=torch.channels_last), CARD)
    assert stored.read_bytes() == (tmp_path / "b.safetensors").read_bytes()


def test_absent_files_are_named(stored, tmp_path):
    unusable(tmp_path / "none.safetensors", "no weights file")
    card_path(stored).unlink()
    unusable(stored, "LSE1-cat.json", "keep the two files together")


def test_other_networks_are_refused(stored, tiny):
    unusable(stored, "LSE1", "not max1", model="max1")  # same architecture, other training
    unusable(stored, "trained for cat, not dog", cls="dog")
    rewrite(stored, architecture="LSE1")
    unusable(stored, "weights of LSE1", "conv1.bias", "[40]")
    rewrite(stored, architecture="VGG16")
    unusable(stored, "VGG16", "does not know")
    card = card_path(stored).read_bytes()
    save_weights(stored, PatchNet(tiny, generator=torch.Generator().manual_seed(9)), CARD)
    card_path(stored).write_bytes(card)
    unusable(stored, "card disagree")


def test_values_that_are_not_finite_are_refused(stored):
    tensors = load_file(stored)
    tensors["conv2.weight"][1, 2, 0, 0] = float("nan")
    rewrite(stored, tensors)
    unusable(stored, "not finite float32")


def test_a_damaged_file_is_refused(stored, rng):
    whole = stored.read_bytes()
    for length in (0, 7, 100, len(whole) // 2, len(whole) - 1):
        stored.write_bytes(whole[:length])
        unusable(stored, "safetensors file, or is damaged")
    for place in [*range(0, 900, 90), *rng.integers(0, len(whole), 10).tolist()]:
        stored.write_bytes(whole[:place] + bytes([whole[place] ^ 4]) + whole[place + 1 :])  # one wrong bit
        unusable(stored)
    torch.save({"a": torch.zeros(2)}, stored)  # a pickle
    unusable(stored, "safetensors file, or is damaged")
    card_path(stored).write_text("{")
    stored.write_bytes(whole)
    refused(lambda: load_weights(stored), card_path(stored))
