"""Profiles: the built-in ones, a user's own, and every way in which one can be wrong."""

import dataclasses
import json
import subprocess
import sys

import pytest
from conftest import one_line
from hypothesis import given
from hypothesis import strategies as st

from lsegrepro import paper
from lsegrepro.config import Jitter, Mining, Scoring, Training
from lsegrepro.config import Superpixels
from lsegrepro.files import LsegreproError
from lsegrepro.config import BUILT_IN, Data, Profile, load_profile, vary

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
    assert [load_profile(name).data.kind for name in BUILT_IN] == ["drawn"] + ["photographs"] * 3


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
    varied = vary(profile, "slow", {"training": {"rate": 0.25}}, ("LSE1",))
    assert (varied.arguments("LSE1", "dog").rate, varied.arguments("LSE1", "dog").samples) == (0.25, 30)


@pytest.mark.parametrize("text, parts", [
    ("[network.cow]\nrate = 1.0", ("unknown key 'cow' in network",)),
    ("models = ['LSE1']\n[network.max1]\nrate = 1.0", ("unknown key 'max1' in network",)),
    ("[network.cat]\nrato = 1.0", ("unknown key 'rato' in network.cat",)),
    ("[network.cat]\nrate = 'x'", ("network.cat.rate must be of type float",)),
    ("[network.LSE2-dog]\nrate = -1.0", ("training.rate must be in (0, 100)",)),
    ("network = 3", ("network must be a table",)),
    ("[experiments]\nrate = 1.0", ("unknown key 'rate' in experiments",)),
    ("[experiments]\nsamples = 'x'", ("experiments.samples must be of type int",)),
    ("[experiments]\nsamples = 0", ("samples must be",)),
    ("experiments = 3", ("experiments must be a table",)),
])
def test_wrong_arguments_of_some_networks_are_refused(written, text, parts):
    with pytest.raises(LsegreproError) as error:
        load_profile(written(text))
    one_line(error, *parts)


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


# What is wrong with it


@pytest.mark.fault("configuration", "unknown keys, wrong types, values out of range, NaN, infinity, huge numbers",
                   "one line that names the key and the range")
@pytest.mark.parametrize("text, said", [
    ("model = 1", "unknown key 'model' in the profile"),
    ("[training]\nsample = 3", "unknown key 'sample' in training"),
    ("[training]\nseed = 3", "unknown key 'seed' in training"),
    ("[round2]\nround = 3", "unknown key 'round' in round2"),
    ("[data]\nfolder = 'x'", "unknown key 'folder' in data"),
    ("[training.jitter]\nshear = 3", "unknown key 'shear' in training.jitter"),
    ("training = 3", "training must be a table, got 3"),
    ("[training]\njitter = 3", "training.jitter must be a table"),
    ("data = []", "data must be a table"),
    ("description = 3", "description must be a string"),
    ("models = 'LSE1'", "models must be a list of max1"),
    ("models = []", "models must be a list"),
    ("models = ['LSE3']", "models must be a list of max1, LSE1, max2, LSE2, got ['LSE3']"),
    ("classes = ['cat', 8]", "classes must be a list of cat, dog"),
    ("classes = [['cat']]", "classes must be a list of cat, dog"),
    ("seeds = []", "seeds must be a list"),
    ("seeds = [-1]", "seeds must be a list of whole numbers from 0 up, got [-1]"),
    ("seeds = [true]", "seeds must be a list"),
    ("seeds = [0, 9223372036854775808]", "training.seed must be in [0, 2^63)"),
    ("[training]\nsamples = '3'", "training.samples must be of type int, got '3'"),
    ("[training]\nsamples = 3.0", "training.samples must be of type int"),
    ("[training]\nsamples = true", "training.samples must be of type int, got True"),
    ("[training]\nsamples = 0", "training.samples must be at least 1"),
    ("[training]\nsamples = 9223372036854775808", "training.samples must fit in 64 bits"),
    ("[training]\nrate = nan", "training.rate must be finite"),
    ("[training]\nrate = 0", "training.rate must be in (0, 100)"),
    ("[training]\nmomentum = 1", "training.momentum must be in [0, 1)"),
    ("[training]\nprecision = 'float64'", "training.precision must be one of float32, bfloat16"),
    ("[training]\naggregation = 'softmax'", "unknown aggregation 'softmax'"),
    ("[training]\narchitecture = 'VGG'", "training.architecture must be one of LSE1"),
    ("[round2]\nhard = 2", "training.hard must be in [0, 1]"),
    ("[round2]\nbatch = 0", "training.batch must be in [1, 65536]"),
    ("[round2.jitter]\nflip = 2", "jitter.flip"),
    ("[data]\nkind = 'ImageNet'", "data.kind must be drawn or photographs"),
    ("[data]\nweak = 3", "data.weak must be of type str"),
    ("[data]\nheldout = 1", "data.heldout must lie in (0, 1)"),
    ("[data]\nheldout = 0.0", "data.heldout must lie in (0, 1)"),
    ("[data]\nfraction = 1.5", "data.fraction must lie in (0, 1]"),
    ("[data]\nseed = -3", "data.seed must be at least 0"),
    ("[data]\nsegmentation_val = 3", "data.segmentation_val must lie in [4,"),
    ("[data]\nweak_train = 10000000000", "data.weak_train must lie in [4,"),
    ("[mining]\ntheta = 1", "mining.theta must lie in [0, 1)"),
    ("[mining]\nimages = 0", "mining.images must be at least 1"),
    ("[scoring]\nscale_to = 5", "scoring.scale_to must be 0 or lie in [16, 4096]"),
    ("[superpixels]\nscale = 0", "superpixels.scale must lie in [1e-06, 1e+09], got 0"),
    ("[superpixels]\nsigma = inf", "superpixels.sigma must be finite"),
    ("[superpixels]\nmin_size = 1.5", "superpixels.min_size must be of type int"),
    ("[superpixels]\nscale = 1" + 400 * "0", "superpixels.scale must fit in 64 bits"),
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
    one_line(error, "no profile", "quick, local, full, paper or the path of a .toml file")


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


@pytest.mark.fault("configuration", "any table of any values (hypothesis)", "a profile, or one line")
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
