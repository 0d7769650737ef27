"""Profiles: the built-in ones, a user's own, and every way in which one can be wrong."""

import dataclasses
import itertools

import pytest
from conftest import refused

from lsegrepro import paper
from lsegrepro.config import BUILT_IN, Data, Jitter, Mining, Scoring, Training, load_profile

# The built-in profiles


def test_built_in_profiles_are_whole():
    for name in BUILT_IN:
        profile = load_profile(name)
        assert (profile.name, profile.spec, profile.path) == (name, name, None) and profile.description.endswith(".")
        for model, cls, round in itertools.product(profile.models, profile.classes, (1, 2)):
            arguments = profile.arguments(model, cls, round, 3)
            assert (arguments.model, arguments.cls, arguments.round, arguments.seed) == (model, cls, round, 3)


def test_the_papers_profile_is_the_papers():
    profile = load_profile("paper")
    assert profile.models == tuple(paper.MODELS) and profile.classes == paper.CLASSES
    arguments = profile.arguments("LSE1", "cat")
    assert (arguments.rate, arguments.batch, arguments.momentum) == (paper.LEARNING_RATE, 1, 0)
    assert arguments.precision == "float32" and arguments.aggregation is None


def test_some_networks_may_have_arguments_of_their_own(written):
    profile = load_profile(written("""
models = ["max1", "LSE1"]
[training]
samples = 10
batch = 2
jitter = {rotation = 5}
[network.dog]
samples = 20
precision = "bfloat16"
[network.LSE1]
rate = 0.5
[network.LSE1-dog]
samples = 30
[network.LSE1-round2]
rate = 0.25
[round2]
samples = 5
rate = 0.125
hard = 0.25
"""))
    found = {(m, c): profile.arguments(m, c) for m in profile.models for c in profile.classes}
    assert [a.samples for a in found.values()] == [10, 20, 10, 30] and {a.batch for a in found.values()} == {2}
    assert [a.rate for a in found.values()] == [0.001, 0.001, 0.5, 0.5]
    first, second = found["LSE1", "dog"], profile.arguments("LSE1", "dog", 2)
    assert first.jitter == Jitter(rotation=5) and first.precision == "bfloat16"
    assert second == dataclasses.replace(first, round=2, samples=5, rate=0.25, hard=0.25)
    assert profile.arguments("max1", "dog", 2).rate == 0.125


def test_the_published_profile_sees_images_as_segment_does():
    """`segment` takes the default size; the published theta was chosen with the profile's."""
    assert load_profile("local").scoring.scale_to == Scoring().scale_to


@pytest.fixture
def written(tmp_path):
    """Write a profile's text; returns its path."""

    def write(text: str):
        path = tmp_path / "mine.toml"
        path.write_text(text, encoding="utf-8")
        return path

    return write


def test_a_users_file_says_where_it_is_and_lacks_nothing(written):
    profile = load_profile(written(""))
    assert profile.name == "mine" and profile.models == tuple(paper.MODELS) and profile.seeds == (0,)
    assert (profile.data, profile.mining, profile.scoring) == (Data(), Mining(), Scoring())
    assert profile.arguments("max1", "dog") == Training(model="max1", cls="dog")
    path = written('models = ["LSE2"]\nclasses = ["dog", "dog"]\nseeds = [3, 1, 3]')
    profile = load_profile(str(path))
    assert profile == load_profile(path) and (profile.spec, profile.path) == (str(path), path)
    assert (profile.models, profile.classes, profile.seeds) == (("LSE2",), ("dog",), (3, 1))


# What is wrong with it


@pytest.mark.parametrize("text, said", [
    ("model = 1", "profile.model: Unexpected keyword argument"),
    ("name = 'x'", "profile.name cannot be set in a file"),
    ("[training]\nsample = 3", "training.sample: Unexpected keyword argument"),
    ("[training]\nseed = 3", "'seed' is not set here"),
    ("models = ['LSE3']", "profile.models.0: Input should be 'max1', 'LSE1', 'max2' or 'LSE2', got 'LSE3'"),
    ("seeds = [-1]", "profile.seeds.0: Input should be greater than or equal to 0, got -1"),
    ("[training]\nsamples = '3'", "training.samples: Input should be a valid integer, got '3'"),
    ("[training]\nrate = -1", "training.rate: Input should be greater than 0, got -1"),
    ("[training]\naggregation = 'softmax'", "unknown aggregation 'softmax'"),
    ("[training]\narchitecture = 'VGG'", "training.architecture: choose one of LSE1"),
    ("[training]\nsamples = 9\ncooldown = 10", "training.cooldown must be in [0, samples], got 10"),
    ("[round2]\nhard = 2", "training.hard: Input should be less than or equal to 1"),
    ("[network.cow]\nrate = 1.0", "network: unknown key 'cow'"),
    ("[data]\nkind = 'ImageNet'", "data.kind: Input should be 'drawn' or 'photographs'"),
    ("[data]\nheldout = 1", "data.heldout: Input should be less than 1"),
    ("seeds = [0", "is not valid TOML"),
])
def test_a_wrong_profile_is_refused_by_name(written, text, said):
    path = written(text)
    refused(lambda: load_profile(path), path.name, said)


def test_a_profile_that_is_not_there_is_refused_with_the_choice():
    refused(lambda: load_profile("slow"), "no profile", "quick, local, full, paper or the path of a .toml file")
