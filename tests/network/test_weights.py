"""Weights on disk: what goes in comes out, and anything else is refused without being run."""

import json

import pytest
import torch
from conftest import file_size_limit, one_line
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from lsegrepro import LsegreproError, paper
from lsegrepro.files import sha256, write_json
from lsegrepro.network.model import PatchNet
from lsegrepro.network.weights import (
    Weights,
    card_path,
    load_weights,
    save_weights,
    to_json,
)

CARD = {"arguments": {"model": "LSE1", "cls": "cat"}, "samples": 1}


@pytest.fixture
def stored(tmp_path, tiny_net):
    path = tmp_path / "LSE1-cat.safetensors"
    save_weights(path, tiny_net, CARD)
    return path


def rewrite(path, tensors=None, **metadata):
    """Other content under the same name, with a card that vouches for it."""
    tensors = tensors if tensors is not None else load_file(path)
    save_file(tensors, path, metadata={"architecture": "tiny"} | metadata)
    vouch(path)


def vouch(path):
    card = json.loads(card_path(path).read_text()) if card_path(path).is_file() else CARD
    write_json(card_path(path), card | {"sha256": sha256(path)})


def refused(path, *parts, **arguments):
    with pytest.raises(LsegreproError) as error:
        load_weights(path, **arguments)
    return one_line(error, path, *parts)


def test_round_trip(stored, tiny_net):
    weights = load_weights(stored, model="LSE1", cls="cat")
    assert isinstance(weights, Weights) and (weights.model, weights.cls) == ("LSE1", "cat")
    assert weights.sha256 == sha256(stored) == weights.card["sha256"]
    assert weights.card == CARD | {"architecture": "tiny", "sha256": weights.sha256}
    assert not weights.net.training
    before, after = tiny_net.state_dict(), weights.net.state_dict()
    assert list(before) == list(after)
    assert all(torch.equal(before[k], after[k]) and after[k].dtype == torch.float32 for k in before)
    assert sorted(p.name for p in stored.parent.iterdir()) == ["LSE1-cat.json", "LSE1-cat.safetensors"]


def test_the_same_weights_are_the_same_bytes(tmp_path, tiny_net):
    """Whatever their layout in memory."""
    save_weights(tmp_path / "a.safetensors", tiny_net, CARD)
    save_weights(tmp_path / "b.safetensors", tiny_net.to(memory_format=torch.channels_last), CARD)
    assert (tmp_path / "a.safetensors").read_bytes() == (tmp_path / "b.safetensors").read_bytes()


@pytest.mark.parametrize("name", paper.ARCHITECTURES)
def test_every_architecture_is_stored(tmp_path, name):
    path = tmp_path / "w.safetensors"
    arguments = {"model": name[:4], "cls": "dog", "architecture": name if name == "LSE2-40-80" else None}
    save_weights(path, PatchNet(paper.ARCHITECTURES[name]), {"arguments": arguments})
    weights = load_weights(path, model=name[:4], cls="dog")
    assert weights.net.architecture is paper.ARCHITECTURES[name]
    assert path.stat().st_size < 4 * paper.ARCHITECTURES[name].parameters + 2000


def test_absent_files_are_named(stored, tmp_path):
    refused(tmp_path / "none.safetensors", "no weights file")
    refused(tmp_path, "no weights file")
    card_path(stored).unlink()
    refused(stored, "LSE1-cat.json", "keep the two files together")


def test_other_model_or_class_is_refused(stored):
    refused(stored, "LSE1", "not LSE2", model="LSE2")
    refused(stored, "LSE1", "not max1", model="max1")  # same architecture, other training
    refused(stored, "not LSE3", model="LSE3")
    refused(stored, "trained for cat, not dog", cls="dog")


def test_other_architecture_is_refused(stored):
    rewrite(stored, architecture="LSE1")
    refused(stored, "conv1.bias has shape (4,)", "LSE1 needs (40,)")
    rewrite(stored, architecture="VGG16")
    refused(stored, "VGG16", "does not know")
    save_file(load_file(stored), stored)  # no metadata at all
    vouch(stored)
    refused(stored, "does not know")


def test_missing_and_surplus_tensors_are_refused(stored):
    tensors = load_file(stored)
    bias = tensors.pop("full5.bias")
    rewrite(stored, tensors)
    refused(stored, "full5.bias has shape None", "tiny needs (2,)")
    rewrite(stored, tensors | {"full5.bias": bias, "zzz": bias.clone()})
    refused(stored, "zzz has shape (2,)", "needs None")


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_values_that_are_not_finite_are_refused(stored, value):
    tensors = load_file(stored)
    tensors["conv2.weight"][1, 2, 0, 0] = value
    rewrite(stored, tensors)
    refused(stored, "conv2.weight", "not finite", "diverged")


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_one_wrong_bit_is_noticed(stored, data):
    whole = stored.read_bytes()
    place = data.draw(st.integers(0, len(whole) - 1) | st.integers(0, 900), label="byte")
    changed = bytearray(whole)
    changed[place] ^= 1 << data.draw(st.integers(0, 7), label="bit")
    stored.write_bytes(changed)
    try:
        refused(stored)
    finally:
        stored.write_bytes(whole)


@pytest.mark.parametrize("part", [0, 1, 7, 8, 100, 0.5, 0.99])
def test_truncated_files_are_refused(stored, part):
    whole = stored.read_bytes()
    stored.write_bytes(whole[: part if isinstance(part, int) else int(part * len(whole))])
    refused(stored, "safetensors file, or is damaged")


def test_a_pickle_is_refused(stored):
    torch.save({"a": torch.zeros(2)}, stored)
    vouch(stored)
    refused(stored, "safetensors file, or is damaged")


def test_weights_of_another_type_are_refused(stored):
    rewrite(stored, {key: value.double() for key, value in load_file(stored).items()})
    refused(stored, "weights are float32")


@pytest.mark.parametrize("content", ["{", "[]", ""])
def test_a_damaged_card_is_refused(stored, content):
    card_path(stored).write_text(content)
    with pytest.raises(LsegreproError) as error:
        load_weights(stored)
    one_line(error, card_path(stored))


def test_a_card_of_other_weights_is_refused(stored, tiny):
    other = PatchNet(tiny, generator=torch.Generator().manual_seed(9))
    card = card_path(stored).read_bytes()
    save_weights(stored, other, CARD)
    card_path(stored).write_bytes(card)
    refused(stored, "card disagree")


def test_a_full_disk_leaves_the_old_weights(tmp_path):
    path, net = tmp_path / "w.safetensors", PatchNet(paper.ARCHITECTURES["LSE1"])
    save_weights(path, net, CARD)
    before = path.read_bytes()
    with file_size_limit(200_000), pytest.raises(LsegreproError) as error:
        save_weights(path, PatchNet(paper.ARCHITECTURES["LSE1"]), CARD)
    one_line(error, f"cannot write {path}")
    assert path.read_bytes() == before and len(list(tmp_path.iterdir())) == 2
    load_weights(path)


def test_to_json_is_canonical_and_refuses_nan():
    assert to_json({"b": 1, "a": [0.5, None]}) == '{"a": [0.5, null], "b": 1}'
    with pytest.raises(ValueError):
        to_json({"a": float("nan")})
