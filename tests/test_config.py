"""Profiles: the built-in ones, a user's own, and every way in which one can be wrong."""

import dataclasses
import json
import pickle
import subprocess
import sys

import pytest
from conftest import one_line
from hypothesis import given
from hypothesis import strategies as st

from lsegrepro import paper
from lsegrepro.config import BUILT_IN, Data, Jitter, Mining, Profile, Scoring, Superpixels, Training, load_profile, vary
from lsegrepro.files import LsegreproError

WITHOUT_TORCH = "import sys; sys.modules['torch'] = None\n"


# The built-in profiles


def test_built_in_profiles_need_no_torch():
    code = WITHOUT_TORCH + (
        "from lsegrepro.config import BUILT_IN, load_profile\n"
        "print([load_profile(name).name for name in BUILT_IN])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stdout.strip()) == (0, str(list(BUILT_IN))), done.stderr


@pytest.mark.parametrize("name", BUILT_IN)
def test_built_in_profiles_are_whole(name):
    profile = load_profile(name)
    assert (profile.name, profile.spec, profile.path) == (name, name, None)
    assert profile.description.endswith(".")
    for model in profile.models:
        for cls in profile.classes:
            for round in (1, 2):
                arguments = profile.arguments(model, cls, round, 3)
                assert (arguments.model, arguments.cls, arguments.round, arguments.seed) == (model, cls, round, 3)


def test_quick_needs_no_photograph_and_the_others_do():
    assert [load_profile(name).data.kind for name in BUILT_IN] == ["drawn"] + ["photographs"] * 4


def test_the_papers_profile_is_the_papers():
    profile = load_profile("paper")
    assert profile.models == tuple(paper.MODELS) and profile.classes == paper.CLASSES
    arguments = profile.arguments("LSE1", "cat")
    assert (arguments.rate, arguments.batch, arguments.momentum) == (paper.LEARNING_RATE, 1, 0)
    assert arguments.precision == "float32" and arguments.aggregation is None


def test_the_full_profile_is_the_published_one_but_longer_and_whole():
    full, local = load_profile("full"), load_profile("local")
    assert full.models == tuple(paper.MODELS) and full.classes == paper.CLASSES and len(full.seeds) == 3
    assert (full.data, full.superpixels) == (local.data, local.superpixels)
    ours, theirs = (profile.arguments("LSE1", "cat") for profile in (full, local))
    assert (ours.rate, ours.batch, ours.momentum) == (theirs.rate, theirs.batch, theirs.momentum)
    assert ours.samples > 10 * theirs.samples and ours.precision == full.scoring.precision == "float32"


def test_some_networks_may_have_arguments_of_their_own(written):
    profile = load_profile(written("""
models = ["max1", "LSE1"]
[training]
samples = 10
batch = 2
[network.dog]
samples = 20
precision = "bfloat16"
[network.LSE1]
rate = 0.5
[network.LSE1-dog]
samples = 30
[round2]
samples = 5
"""))
    found = {(m, c): profile.arguments(m, c) for m in profile.models for c in profile.classes}
    assert [a.samples for a in found.values()] == [10, 20, 10, 30]
    assert [a.rate for a in found.values()] == [0.001, 0.001, 0.5, 0.5] and {a.batch for a in found.values()} == {2}
    second = profile.arguments("LSE1", "dog", 2)
    assert (second.samples, second.precision, second.rate) == (5, "bfloat16", 0.5)
    assert vary(profile, "one", {}, ("max1",)).arguments("max1", "dog").samples == 20
    varied = vary(profile, "slow", {"training": {"rate": 0.25}}, ("LSE1",))
    assert (varied.arguments("LSE1", "dog").rate, varied.arguments("LSE1", "dog").samples) == (0.25, 30)


def test_the_published_profile_sees_images_as_segment_does():
    """`segment` takes the default size; the published theta was chosen with the profile's."""
    assert load_profile("local").scoring.scale_to == Scoring().scale_to


# A user's own


@pytest.fixture
def written(tmp_path):
    """Write a profile's text; returns its path."""

    def write(text: str):
        path = tmp_path / "mine.toml"
        path.write_text(text, encoding="utf-8")
        return path

    return write


def test_an_empty_file_is_the_defaults(written):
    profile = load_profile(written(""))
    assert profile.name == "mine" and profile.models == tuple(paper.MODELS) and profile.seeds == (0,)
    assert (profile.data, profile.mining, profile.scoring) == (Data(), Mining(), Scoring())
    assert profile.arguments("max1", "dog") == Training(model="max1", cls="dog")


def test_a_users_file_says_where_it_is(written):
    path = written('models = ["LSE2"]\nclasses = ["dog", "dog"]\nseeds = [3, 1, 3]')
    for given_as in (path, str(path)):
        profile = load_profile(given_as)
        assert profile.spec == str(path) and profile.path == path
        assert load_profile(profile.spec) == profile
        assert (profile.models, profile.classes, profile.seeds) == (("LSE2",), ("dog",), (3, 1))


def test_round_2_changes_what_it_names_and_keeps_the_rest(written):
    text = "[training]\nsamples = 100\nrate = 0.01\njitter = {rotation = 5}\n[round2]\nsamples = 7\nhard = 0.25"
    profile = load_profile(written(text))
    first, second = (profile.arguments("LSE1", "cat", round) for round in (1, 2))
    assert second == dataclasses.replace(first, round=2, samples=7, hard=0.25)
    assert first.jitter == Jitter(rotation=5) and (first.samples, first.rate) == (100, 0.01)


@pytest.mark.parametrize("changes, message", [
    ({"mining": {}}, "an experiment cannot change 'mining'"),
    ({"training": {"rate": -1}}, "training.rate: "),
    ({"data": {"folder": "x"}}, "data.folder: Unexpected keyword argument"),
    ({"scoring": {"scale_to": 5}}, "scoring.scale_to"),
])
def test_a_variation_that_cannot_be_is_refused(changes, message):
    with pytest.raises(LsegreproError) as error:
        vary(load_profile("quick"), "odd", changes, ("LSE1",))
    one_line(error, message)


def test_a_configuration_is_equal_by_value_and_cannot_be_changed():
    assert Superpixels(200, 0.8, 400) == Superpixels(200.0, 0.8, 400) and hash(Mining()) == hash(Mining())
    with pytest.raises(dataclasses.FrozenInstanceError):
        Training().rate = 1.0
    assert pickle.loads(pickle.dumps(load_profile("local"))) == load_profile("local")
    with pytest.raises(LsegreproError) as error:
        Training(rate=-1)
    one_line(error, "training.rate: Input should be greater than 0, got -1")


# What is wrong with it


@pytest.mark.parametrize("text, said", [
    ("model = 1", "profile.model: Unexpected keyword argument"),
    ("name = 'x'", "profile.name cannot be set in a file"),
    ("[training]\nsample = 3", "training.sample: Unexpected keyword argument"),
    ("[training]\nseed = 3", "'seed' is not set here"),
    ("[round2]\nround = 3", "'round' is not set here"),
    ("[data]\nfolder = 'x'", "data.folder: Unexpected keyword argument"),
    ("[training.jitter]\nshear = 3", "jitter.shear: Unexpected keyword argument"),
    ("training = 3", "profile.training: Input should be a valid dictionary, got 3"),
    ("[training]\njitter = 3", "training.jitter: Input should be an instance of Jitter"),
    ("data = []", "profile.data: Input should be an instance of Data"),
    ("description = 3", "profile.description: Input should be a valid string"),
    ("models = 'LSE1'", "profile.models: Input should be a valid tuple"),
    ("models = []", "profile.models: "),
    ("models = ['LSE3']", "profile.models.0: Input should be 'max1', 'LSE1', 'max2' or 'LSE2', got 'LSE3'"),
    ("classes = ['cat', 8]", "profile.classes.1: Input should be 'cat' or 'dog'"),
    ("classes = [['cat']]", "profile.classes.0: "),
    ("seeds = []", "profile.seeds: "),
    ("seeds = [-1]", "profile.seeds.0: Input should be greater than or equal to 0, got -1"),
    ("seeds = [true]", "profile.seeds.0: Input should be a valid integer"),
    ("seeds = [0, 9223372036854775808]", "profile.seeds.1: "),
    ("[training]\nsamples = '3'", "training.samples: Input should be a valid integer, got '3'"),
    ("[training]\nsamples = 3.0", "training.samples: Input should be a valid integer"),
    ("[training]\nsamples = true", "training.samples: Input should be a valid integer, got True"),
    ("[training]\nsamples = 0", "training.samples: Input should be greater than or equal to 1"),
    ("[training]\nrate = nan", "training.rate: "),
    ("[training]\nrate = 0", "training.rate: Input should be greater than 0"),
    ("[training]\nmomentum = 1", "training.momentum: Input should be less than 1"),
    ("[training]\nprecision = 'float64'", "training.precision: Input should be 'float32' or 'bfloat16'"),
    ("[training]\naggregation = 'softmax'", "unknown aggregation 'softmax'"),
    ("[training]\narchitecture = 'VGG'", "training.architecture: choose one of LSE1"),
    ("[training]\nsamples = 9\ncooldown = 10", "training.cooldown must be in [0, samples], got 10"),
    ("[round2]\nhard = 2", "training.hard: Input should be less than or equal to 1"),
    ("[round2.jitter]\nflip = 2", "jitter.flip: "),
    ("[network.cow]\nrate = 1.0", "network: unknown key 'cow'"),
    ("models = ['LSE1']\n[network.max1]\nrate = 1.0", "network: unknown key 'max1'"),
    ("[network.LSE2-dog]\nrate = -1.0", "training.rate: Input should be greater than 0"),
    ("network = 3", "profile.network: "),
    ("[experiments]\nrate = 1.0", "profile.experiments.rate"),
    ("[experiments]\nsamples = 0", "profile.experiments.samples"),
    ("[data]\nkind = 'ImageNet'", "data.kind: Input should be 'drawn' or 'photographs'"),
    ("[data]\nheldout = 1", "data.heldout: Input should be less than 1"),
    ("[data]\nsegmentation_val = 3", "data.segmentation_val: "),
    ("[mining]\ntheta = 1", "mining.theta: "),
    ("[scoring]\nscale_to = 5", "scoring.scale_to must be 0 or lie in [16, 4096]"),
    ("[superpixels]\nscale = 0", "superpixels.scale: "),
    ("[superpixels]\nmin_size = 1.5", "superpixels.min_size: Input should be a valid integer"),
    ("[superpixels]\nscale = 1" + 400 * "0", "superpixels.scale: "),
    ("seeds = [0", "is not valid TOML"),
    ("\x00", "is not valid TOML"),
    ("x = " + 5000 * "[", "is not valid TOML"),
])
def test_a_wrong_profile_is_refused_by_name(written, text, said):
    path = written(text)
    with pytest.raises(LsegreproError) as error:
        load_profile(path)
    one_line(error, path.name, said)


@pytest.mark.parametrize("name", ["slow", "QUICK", "", ".", "quick.toml", "nowhere/p.toml", "a\0b", 5000 * "a"])
def test_a_profile_that_is_not_there_is_refused_with_the_choice(name):
    with pytest.raises(LsegreproError) as error:
        load_profile(name)
    one_line(error, "no profile", "quick, local, long, full, paper or the path of a .toml file")


def test_a_file_that_is_no_text_is_refused(tmp_path):
    path = tmp_path / "p.toml"
    path.write_bytes(b"description = '\xff\xfe'")
    with pytest.raises(LsegreproError) as error:
        load_profile(path)
    one_line(error, "is not valid TOML")


def tables(kind) -> st.SearchStrategy[dict]:
    """A TOML table, half of the time with keys that exist."""
    keys = st.sampled_from([field.name for field in dataclasses.fields(kind)])
    return st.dictionaries(keys | texts, values, max_size=4)


texts = st.text(st.characters(codec="utf-8"), max_size=8) | st.sampled_from(
    ["cat", "LSE1", "drawn", "photographs", "lse", "tempered:2", "torch7", "bfloat16", "background"]
)
scalars = st.booleans() | st.integers() | st.floats() | texts
values = st.recursive(scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
                      max_leaves=5)
profiles = st.fixed_dictionaries({}, optional={
    "description": texts | values,
    "models": st.lists(st.sampled_from(list(paper.MODELS)), max_size=3) | values,
    "classes": st.lists(st.sampled_from(paper.CLASSES), max_size=3) | values,
    "seeds": st.lists(st.integers(), max_size=3) | values,
    "data": tables(Data) | values,
    "training": tables(Training) | st.fixed_dictionaries({"jitter": tables(Jitter)}) | values,
    "round2": tables(Training) | values,
    "mining": tables(Mining) | values,
    "scoring": tables(Scoring) | values,
    "superpixels": tables(Superpixels) | values,
}) | st.dictionaries(texts, values, max_size=3)


def toml(value) -> str:
    """A value in TOML, tables inline."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{toml(key)} = {toml(each)}" for key, each in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(toml, value)) + "]"
    if isinstance(value, str):
        # JSON's escapes are TOML's, but for surrogates (so none are made) and for delete.
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    return str(value).lower() if isinstance(value, bool) else repr(value)


@given(profiles)
def test_any_table_is_a_profile_or_one_line_that_says_what_is_wrong(tmp_path_factory, values):
    path = tmp_path_factory.getbasetemp() / "any.toml"
    path.write_text("".join(f"{toml(key)} = {toml(value)}\n" for key, value in values.items()), encoding="utf-8")
    try:
        profile = load_profile(path)
    except LsegreproError as error:
        assert str(error).startswith("any.toml: ") and "\n" not in str(error)
    else:
        assert isinstance(profile, Profile)
        for model in profile.models:
            for round in (1, 2):
                profile.arguments(model, profile.classes[0], round, profile.seeds[0])
