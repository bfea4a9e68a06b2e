"""params.yaml: what is unknown, missing, mistyped or out of range is refused, and the message says what was meant."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from pipeline.core import params, plain_yaml, schema
from pipeline.core.errors import UserError
from pipeline.core.params import Params
from pipeline.core.sections import Arm, Run
from tests.imports import ROOT

ARMS = {"guarded": {"policy": "accumulate", "ratio": 0.5}, "recursive": {"policy": "replace", "ratio": 1.0}}
RUNS = {
    "guarded-1": {"arm": "guarded", "generation": 1, "previous": "base"},
    "guarded-2": {"arm": "guarded", "generation": 2, "previous": "guarded-1"},
    "recursive-1": {"arm": "recursive", "generation": 1, "previous": "base"},
}
OWN = yaml.safe_load((ROOT / "params.yaml").read_text())
MISSING = object()


def text(changes: Mapping[str, Any] | None = None, *, runs: Mapping[str, Any] | None = None) -> str:
    """The project's own params.yaml with arms and runs of its own, and values changed by their dotted names."""
    given = {"arms": ARMS, "runs": RUNS if runs is None else runs}
    content = copy.deepcopy(OWN) | yaml.safe_load(yaml.safe_dump(given))  # nothing is shared between tests
    for dotted, value in (changes or {}).items():
        *above, last = dotted.split(".")
        place = content
        for name in above:
            place = place[name]
        if value is MISSING:
            del place[last]
        else:
            place[last] = value
    return yaml.safe_dump(content, sort_keys=False)


def refusal(content: str) -> str:
    """The message with which this params.yaml is refused."""
    with pytest.raises(UserError) as caught:
        params.parse(content)
    return str(caught.value)


def test_the_projects_own() -> None:
    """The params.yaml that the project ships is accepted, and every run descends from the base."""
    settings = params.load(ROOT / "params.yaml")
    assert settings.runs
    for name, run in settings.runs.items():
        assert len(params.ancestry(settings, name)) == run.generation


def test_types() -> None:
    """Sections come out typed: whole numbers where fractions are meant become fractions, lists become tuples."""
    settings = params.parse(text({"arms.recursive.ratio": 1, "audit.rare_classes": ["six"], "mix.total": 40}))
    assert settings.arms["recursive"] == Arm(policy="replace", ratio=1.0)
    assert isinstance(settings.arms["recursive"].ratio, float)
    assert settings.audit.rare_classes == ("six",)
    assert settings.mix.total == 40
    assert settings.run("guarded-2") == Run(arm="guarded", generation=2, previous="guarded-1", seed=0)
    assert params.ancestry(settings, "guarded-2") == ["guarded-2", "guarded-1"]
    assert params.ancestry(settings, "base") == []


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        pytest.param(
            {"gate.alpha": MISSING, "gate.alhpa": 0.05},
            "gate has no key 'alhpa'; did you mean 'alpha'?; there are: alpha, recall_margin",
            id="misspelt key",
        ),
        pytest.param({"gaet": {}}, "no section 'gaet'; did you mean 'gate'?", id="misspelt section"),
        pytest.param({"gate.7": 1}, "gate has no key '7'; there are: alpha", id="key like nothing"),
        pytest.param({"gate.alpha": MISSING}, "gate.alpha is missing", id="missing key"),
        pytest.param({"gate": MISSING}, "params.yaml: gate is missing", id="missing section"),
        pytest.param({"ingest.digits.pages.val": MISSING}, "ingest.digits.pages.val is missing", id="missing deep"),
        pytest.param({"gate": None}, "gate is None, wanted keys and values", id="empty section"),
        pytest.param({"train.steps": "400"}, "train.steps is '400', wanted a whole number", id="text for a number"),
        pytest.param({"train.steps": 400.0}, "train.steps is 400.0, wanted a whole number", id="fraction for a number"),
        pytest.param({"train.steps": True}, "train.steps is True, wanted a whole number", id="true for a number"),
        pytest.param({"gate.alpha": True}, "gate.alpha is True, wanted a finite number", id="true for a fraction"),
        pytest.param({"gate.alpha": float("nan")}, "gate.alpha is nan, wanted a finite number", id="nan"),
        pytest.param({"gate.alpha": float("inf")}, "gate.alpha is inf, wanted a finite number", id="infinite"),
        pytest.param({"train.model": 8}, "train.model is 8, wanted text", id="number for text"),
        pytest.param({"audit.rare_classes": "six"}, "audit.rare_classes is 'six', wanted a list", id="text for a list"),
        pytest.param({"audit.rare_classes": [True]}, "audit.rare_classes is True, wanted text", id="yes in a list"),
        pytest.param({"ingest.digits.digit": [16]}, "ingest.digits.digit has 1 items, wanted 2", id="short list"),
        pytest.param({"train.augment": 0}, "train.augment is 0, wanted a mapping", id="number for a mapping"),
        pytest.param({"train.augment": {"mosaic": "off"}}, "train.augment.mosaic is 'off'", id="text in a mapping"),
        pytest.param({"train.device": None}, "train.device is None, wanted text or a whole number", id="no device"),
        pytest.param(
            {"mix.total": "all_real"}, "mix.total is 'all_real', wanted one of all-real or a whole", id="total"
        ),
        pytest.param(
            {"generate.generator": "mixtur"},
            "generate: generator is 'mixtur'; did you mean 'mixture'?, wanted one of mixture, copy_paste, diffusion",
            id="misspelt generator",
        ),
        pytest.param(
            {"generate.mixture.backgrounds": "patch"},
            "'patch'; did you mean 'patches'?, wanted one of real, patches",
            id="misspelt choice",
        ),
        pytest.param({"generate.copy_paste.rare_boost": 2}, "rare_boost 2.0, wanted a share in [0, 1]", id="boost"),
        pytest.param({"generate.copy_paste.max_repeats": 0}, "max_repeats 0, wanted at least 1", id="no repeats"),
        pytest.param({"generate.copy_paste.max_truncation": 1}, "max_truncation 1, wanted a share", id="truncation"),
        pytest.param({"generate.timeout": 0}, "timeout and fit_timeout: wanted more than 0", id="no time"),
        pytest.param({"generate.folder.of_a_run": "{arms}"}, "of_a_run '{arms}', wanted a folder's name", id="brace"),
        pytest.param({"generate.folder.of_a_run": "{"}, "of_a_run '{', wanted a folder's name", id="half a brace"),
        pytest.param({"generate.folder.of_a_run": "../x"}, "of_a_run '../x' leaves the folder", id="out of a folder"),
        pytest.param(
            {"generate.generator": "folder", "generate.labels": "layout", "generate.folder.labels": "none"},
            "folder.labels is none, and labels is layout: wanted labels: detector",
            id="no labels",
        ),
        pytest.param({"arms.guarded.ratio": 1.2}, "arms.guarded: ratio 1.2, wanted a share in [0, 1]", id="ratio 1.2"),
        pytest.param({"arms.guarded.ratio": -0.1}, "arms.guarded: ratio -0.1, wanted", id="ratio below zero"),
        pytest.param({"arms.guarded.policy": "acumulate"}, "did you mean 'accumulate'?", id="misspelt policy"),
        pytest.param({"verify.shares.train": 0.8}, "verify: shares add up to 1.1, wanted 1", id="shares over one"),
        pytest.param({"audit.iou": 0.52}, "audit: iou 0.52, wanted one of 0.5, 0.55", id="unknown iou"),
        pytest.param({"train.image_size": 65}, "train: image_size 65, wanted a multiple of 32", id="image size"),
        pytest.param({"ingest.digits.digit": [16, 900]}, "ingest.digits: digit (16, 900)", id="digit over page"),
        pytest.param({"ingest.digits.classes": ["one", "one"]}, "wanted names, each once", id="class twice"),
        pytest.param({"generate.confidence": 1}, "generate: confidence 1, wanted a number in (0, 1)", id="confidence"),
        pytest.param({"mix.total": 0}, "mix: total 0, wanted all-real or a number over 0", id="no images"),
        pytest.param({"gate.recall_margin": 0}, "gate: recall_margin 0, wanted a number in (0, 1)", id="no margin"),
        pytest.param({"gate.alpha": 0.5}, "alpha 0.5", id="even chance of an alarm"),
    ],
)
def test_refused(changes: Mapping[str, Any], message: str) -> None:
    """A value that is not as declared is an error that names its place and what was meant."""
    assert message in refusal(text(changes))


@pytest.mark.parametrize(
    ("runs", "message"),
    [
        pytest.param(
            {"g-1": {"arm": "gaurded", "generation": 1, "previous": "base"}},
            "runs.g-1: there is no arm 'gaurded'; did you mean 'guarded'?; there are: guarded, recursive",
            id="unknown arm",
        ),
        pytest.param(
            RUNS | {"guarded-3": {"arm": "guarded", "generation": 3, "previous": "gaurded-2"}},
            "runs.guarded-3: there is no previous run 'gaurded-2'; did you mean 'guarded-2'?",
            id="previous run missing",
        ),
        pytest.param(
            {
                "g-2": {"arm": "guarded", "generation": 2, "previous": "g-1"},
                "g-1": RUNS["guarded-1"] | {"previous": "g-0"},
            },
            "there is no previous run 'g-0'",
            id="previous of the previous missing",
        ),
        pytest.param(
            {
                "a": {"arm": "guarded", "generation": 1, "previous": "b"},
                "b": {"arm": "guarded", "generation": 2, "previous": "c"},
                "c": {"arm": "guarded", "generation": 3, "previous": "b"},
            },
            "runs: b -> c -> b is a cycle; a first generation has `previous: base`",
            id="cycle",
        ),
        pytest.param(
            {"a": {"arm": "guarded", "generation": 1, "previous": "a"}},
            "runs: a -> a is a cycle",
            id="its own previous",
        ),
        pytest.param(
            RUNS | {"guarded-3": {"arm": "guarded", "generation": 4, "previous": "guarded-2"}},
            "runs.guarded-3: generation is 4, wanted 3, one more than the previous",
            id="generation left out",
        ),
        pytest.param(
            RUNS | {"recursive-2": {"arm": "recursive", "generation": 2, "previous": "guarded-1"}},
            "runs.recursive-2: previous run 'guarded-1' is of arm 'guarded', wanted 'recursive'",
            id="previous of another arm",
        ),
        pytest.param({"base": RUNS["guarded-1"]}, "runs.base: a run's name", id="named base"),
        pytest.param({"../x": RUNS["guarded-1"]}, "runs.../x: a run's name", id="path for a name"),
        pytest.param({"nächte": RUNS["guarded-1"]}, "letters, digits, - and _", id="letters beyond ASCII"),
        pytest.param({"": RUNS["guarded-1"]}, "letters, digits, - and _", id="no name"),
        pytest.param({"--help": RUNS["guarded-1"]}, "letters, digits, - and _", id="looks like an option"),
        pytest.param({7: RUNS["guarded-1"]}, "runs is 7, wanted text", id="number for a name"),
    ],
)
def test_runs_refused(runs: Mapping[str, Any], message: str) -> None:
    """Runs that do not descend from the base, generation by generation in one arm, are refused."""
    assert message in refusal(text(runs=runs))


ANCHOR = {"guarded-7": {"arm": "guarded", "generation": 7, "previous": "guarded-6"}}
AFTER = {"guarded-8": {"arm": "guarded", "generation": 8, "previous": "guarded-7"}}


def test_a_chain_may_end_at_an_anchor() -> None:
    """The generation counts on from a retired run, which needs none before it."""
    settings = params.parse(text({"anchors": ANCHOR}, runs=AFTER))
    assert params.ancestry(settings, "guarded-8") == ["guarded-8"]
    assert settings.anchors["guarded-7"].generation == 7


@pytest.mark.parametrize(
    ("anchors", "runs", "message"),
    [
        pytest.param(
            ANCHOR, {"guarded-9": AFTER["guarded-8"] | {"generation": 9}}, "generation is 9, wanted 8", id="generation"
        ),
        pytest.param(
            ANCHOR,
            {"recursive-8": AFTER["guarded-8"] | {"arm": "recursive"}},
            "previous run 'guarded-7' is of arm 'guarded', wanted 'recursive'",
            id="arm",
        ),
        pytest.param({}, AFTER, "there is no previous run 'guarded-7'", id="no anchor"),
        pytest.param({"guarded-1": RUNS["guarded-1"]}, RUNS, "anchors.guarded-1: it is no retired run", id="both"),
        pytest.param({"x": {**ANCHOR["guarded-7"], "arm": "y"}}, AFTER, "anchors.x: there is no arm 'y'", id="no arm"),
        pytest.param({"x": {**ANCHOR["guarded-7"], "generation": 0}}, RUNS, "wanted 1 or more", id="generation 0"),
    ],
)
def test_anchors_refused(anchors: Mapping[str, Any], runs: Mapping[str, Any], message: str) -> None:
    """An anchor is a retired run of an arm, and what descends from it goes on where it ended."""
    assert message in refusal(text({"anchors": anchors}, runs=runs))


def test_unknown_run() -> None:
    """Asking for a run that is not there names the nearest one, and all of them."""
    with pytest.raises(
        UserError, match=r"no run 'guarded-3' in params\.yaml; did you mean 'guarded-2'.*base, guarded-1"
    ):
        params.parse(text()).run("guarded-3")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        pytest.param("", "the file is None, wanted keys and values", id="empty"),
        pytest.param("- seed", "the file is ['seed'], wanted keys and values", id="list"),
        pytest.param("seed: [1", "params.yaml is not valid YAML", id="broken"),
        pytest.param("seed: 1\ngate: {}\nseed: 2\n", "key 'seed' is there twice, near line 3", id="key twice"),
        pytest.param(
            "gate:\n  alpha: 1\n  alpha: 2\n", "key 'alpha' is there twice, near line 3", id="key twice inside"
        ),
        pytest.param("? [a]\n: 1\n", "params.yaml is not valid YAML", id="list as key"),
        pytest.param("seed: !!python/object:os.system 1\n", "params.yaml is not valid YAML", id="python object"),
        pytest.param("seed: \0\n", "params.yaml is not valid YAML", id="control character"),
    ],
)
def test_yaml_refused(content: str, message: str) -> None:
    """Text that is no YAML, or that has a key twice, is refused with a reason."""
    assert message in refusal(content)


def test_yaml_merges() -> None:
    """An anchor that is merged into another mapping works, and the mapping's own keys win."""
    loaded = plain_yaml.load("a: &a {x: 1, y: 2}\nb: {<<: *a, y: 3}\n")
    assert loaded["b"] == {"x": 1, "y": 3}


@pytest.mark.parametrize("number", ["1e-3", "1E-3", "1.0e-3", "1e-03", "0.001"])
def test_exponents(number: str) -> None:
    """A number in the notation that YAML 1.2 and DVC take is a number here too."""
    content = text({"train.learning_rate": 0.5}).replace("learning_rate: 0.5", f"learning_rate: {number}")
    assert params.parse(content).train.learning_rate == 0.001


def test_no_file(tmp_path: Path) -> None:
    """Outside the project's folder the message says where to go."""
    with pytest.raises(UserError, match=r"params\.yaml is not in .*; run this in the project's folder"):
        params.load(tmp_path / "params.yaml")


def test_settings_are_frozen() -> None:
    """Nothing that was read can be changed."""
    settings = params.parse(text())
    with pytest.raises(dataclasses.FrozenInstanceError):
        settings.seed = 1  # type: ignore[misc]  # what is tested


@given(key=st.text(min_size=1), section=st.sampled_from([field.name for field in dataclasses.fields(Params)][1:10]))
def test_any_unknown_key(key: str, section: str) -> None:
    """Whatever a section does not know is refused, by name."""
    content = copy.deepcopy(OWN)
    if key in content[section]:
        return
    content[section][key] = 1
    with pytest.raises(UserError, match=f"{section} has no key") as caught:
        schema.section(Params, content)
    assert repr(key) in str(caught.value)


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Leaf:
    number: int
    share: float
    name: str
    flag: bool
    kind: Literal["x", "y"]
    maybe: int | None


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Tree:
    leaf: _Leaf
    pair: tuple[int, float]
    names: tuple[str, ...]
    leaves: Mapping[str, _Leaf]
    rest: str = "given"


LEAVES = st.builds(
    _Leaf,
    number=st.integers(),
    share=st.floats(allow_nan=False, allow_infinity=False),
    name=st.text(),
    flag=st.booleans(),
    kind=st.sampled_from(["x", "y"]),
    maybe=st.none() | st.integers(),
)


@given(
    st.builds(
        _Tree,
        leaf=LEAVES,
        pair=st.tuples(st.integers(), st.floats(allow_nan=False, allow_infinity=False)),
        names=st.lists(st.text()).map(tuple),
        leaves=st.dictionaries(st.text(), LEAVES, max_size=3),
    )
)
def test_sections_round_trip(tree: _Tree) -> None:
    """What a section holds, read again, gives the same section; what has a default may be left out."""
    plain = dataclasses.asdict(tree)
    del plain["rest"]
    plain |= {"pair": list(tree.pair), "names": list(tree.names)}
    assert schema.section(_Tree, plain) == tree


def test_refused_values_stay_value_errors() -> None:
    """A section that is built in code refuses with a ValueError, without a place in a file."""
    with pytest.raises(schema.InvalidSection, match=r"^ratio 2, wanted a share"):
        Arm(policy="replace", ratio=2)


def test_pins() -> None:
    """Runs, the base and runs that retired may be pinned; without the section nothing is."""
    pins = {"base": "0123456789ab", "guarded-1": "a" * 64, "long-ago-1": "0123456789ab"}
    assert params.parse(text({"pins": pins})).pins == pins
    value = yaml.safe_load(text({}))
    del value["pins"]
    assert params.parse(yaml.safe_dump(value)).pins == {}


@pytest.mark.parametrize(
    ("pins", "message"),
    [
        pytest.param(
            {"base": "0123456789a"}, "pins.base: '0123456789a', wanted the first 12 or more digits", id="short"
        ),
        pytest.param({"base": "0123456789AB"}, "pins.base: '0123456789AB', wanted", id="capitals"),
        pytest.param({"base": 123456789012}, "pins.base is 123456789012, wanted text", id="a number"),
        pytest.param({"../x": "0123456789ab"}, "pins.../x: it is no name of a run", id="a path"),
    ],
)
def test_pins_refused(pins: Mapping[str, Any], message: str) -> None:
    """A pin is the beginning of a hash, in the ledger's own spelling."""
    assert message in refusal(text({"pins": pins}))
