"""The App's plugin: it is found, it names what it registers, and its operators check what they are given."""

from __future__ import annotations

import importlib
import re
import warnings
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest
import yaml
from pymongo.errors import AutoReconnect

from pipeline import app
from pipeline.adapters import voxel, voxel_app, voxel_deciding, voxel_decisions, voxel_samples
from pipeline.core import deciding, labels, paths, reviewing
from pipeline.core.errors import UserError
from tests.builders import box

PLUGIN = Path(app.__file__).parent
CLASSES = ["zero", "one"]
SIZE = (64, 48)


class Registry:
    """What FiftyOne hands to a plugin."""

    def __init__(self) -> None:
        """Nothing is registered yet."""
        self.names: list[str] = []

    def register(self, kind: Any) -> None:
        """Keep the name."""
        self.names.append(kind().config.name)


@pytest.fixture(scope="module", autouse=True)
def _fiftyone() -> None:
    """FiftyOne, imported; it connects to a database only when it is asked for data."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of FiftyOne's own imports
        importlib.import_module("fiftyone.operators")


@pytest.fixture(scope="module")
def registered() -> list[str]:
    """Names of what the plugin registers."""
    registry = Registry()
    app.register(registry)
    return registry.names


def context(**changes: Any) -> Any:
    """What an operator is handed by the App."""
    plain: dict[str, Any] = {"params": {}, "current_sample": None, "selected": [], "dataset": None, "view": None}
    return SimpleNamespace(**(plain | changes))


def operator(name: str) -> Any:
    """One of the plugin's operators."""
    from pipeline.app import decisions, looking

    return next(kind() for kind in (*decisions.OPERATORS, *looking.OPERATORS) if kind().config.name == name)


def test_the_plugin_registers_just_what_its_file_lists(registered: list[str]) -> None:
    """FiftyOne drops in silence what is registered and not listed, and what is listed and not registered."""
    listed = yaml.safe_load((PLUGIN / "fiftyone.yml").read_text())
    assert sorted(registered) == sorted([*listed["operators"], *listed["panels"]])
    assert (PLUGIN / listed["js_bundle"]).is_file()


def test_keys_run_operators_that_there_are(registered: list[str]) -> None:
    """Each key names a registered operator, by the plugin's own name, and is told in the docs."""
    script = (PLUGIN / "keys.js").read_text()
    keys = dict(re.findall(r'^\s+(\w): \{ operator: "(\w+)"', script, flags=re.MULTILINE))
    assert keys == {"A": "accept", "R": "reject", "C": "correct", "U": "undo", "N": "next"}
    assert set(keys.values()) <= set(registered)
    name = yaml.safe_load((PLUGIN / "fiftyone.yml").read_text())["name"]
    assert f'const PLUGIN = "{name}";' in script
    docs = (PLUGIN.parent.parent / "docs" / "review.md").read_text()
    assert [key for key in keys if f"`Shift+{key}`" not in docs] == []


def test_the_plugin_is_found_beside_those_of_the_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """FiftyOne reads one folder: it links to the project's plugin and to the folder that the user named."""
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(paths, "PLUGINS", Path(".tailwatch/plugins"))
    monkeypatch.setenv("FIFTYONE_PLUGINS_DIR", str(theirs))
    folder = Path(voxel._plugins())
    assert (folder / "tailwatch" / "fiftyone.yml").is_file()
    assert (folder / "of-the-user").resolve() == theirs
    monkeypatch.setenv("FIFTYONE_PLUGINS_DIR", str(folder))  # as a process finds it that this one starts
    assert Path(voxel._plugins()) == folder
    assert sorted(one.name for one in folder.iterdir()) == ["of-the-user", "tailwatch"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        pytest.param({}, "0 images are selected, wanted one", id="none"),
        pytest.param({"selected": ["a", "b"]}, "2 images are selected, wanted one", id="several"),
        pytest.param({"current_sample": "a"}, "no dataset is open", id="no_dataset"),
    ],
)
@pytest.mark.parametrize("name", ["accept", "reject", "correct"])
def test_a_decision_is_about_one_image(name: str, changes: dict[str, Any], message: str) -> None:
    """Without an opened image, or with several selected, nothing is decided and the person is told what to do."""
    with pytest.raises(UserError, match=message):
        operator(name).execute(context(**changes))


@pytest.mark.parametrize("name", ["accept", "reject", "correct", "undo", "next", "compare", "export"])
def test_another_project_is_refused(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A decision on a dataset of another folder would go into this one's ledger."""
    monkeypatch.chdir(tmp_path)
    other = SimpleNamespace(name="shown", info={"project": "/elsewhere"})
    with pytest.raises(UserError, match=r"shows the project in /elsewhere, and this runs in"):
        operator(name).execute(context(dataset=other, current_sample="a"))


def test_who_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment's name before git's; a name that was emptied in the form stays empty, and is refused later."""
    from pipeline.app import decisions

    monkeypatch.setenv(reviewing.REVIEWER, "Ada")
    assert reviewing.reviewer() == "Ada"
    assert decisions._reviewer(context()) == "Ada"
    assert decisions._reviewer(context(params={"reviewer": "Ben"})) == "Ben"
    assert decisions._reviewer(context(params={"reviewer": None})) == ""
    monkeypatch.setenv(reviewing.REVIEWER, " ")
    monkeypatch.setenv("GIT_CONFIG_COUNT", "1")
    monkeypatch.setenv("GIT_CONFIG_KEY_0", "user.name")
    monkeypatch.setenv("GIT_CONFIG_VALUE_0", "Grace")
    assert reviewing.reviewer() == "Grace"


def place(one: labels.Box) -> list[float]:
    """A box as FiftyOne has it."""
    left, top, *_ = one.corners()
    return [left, top, one.width, one.height]


def test_labels_that_nobody_touched_are_just_those_that_were_shown() -> None:
    """FiftyOne's fractions are rounded otherwise than a label file's, and a decision names the digest of the file."""
    shown = sorted([box(0, x=1 / 3, y=0.4), box(1, x=0.7, y=0.61, width=0.1234567)])
    found = [(CLASSES[one.class_id], [round(number, 5) for number in place(one)]) for one in reversed(shown)]
    assert voxel_samples.drawn(found, shown, CLASSES, size=SIZE) == shown
    moved = [(found[0][0], [found[0][1][0] + 0.01, *found[0][1][1:]]), found[1]]
    drawn = voxel_samples.drawn(moved, shown, CLASSES, size=SIZE)
    assert len(set(drawn) & set(shown)) == 1
    assert voxel_samples.untouched(found, labels.format_boxes(shown), CLASSES, size=SIZE)
    assert not voxel_samples.untouched(moved, labels.format_boxes(shown), CLASSES, size=SIZE)


def test_a_box_drawn_twice_is_two() -> None:
    """A second box on a first one is another label, not the same one found again."""
    one = box(0)
    assert len(voxel_samples.drawn([("zero", place(one))] * 2, [one], CLASSES, size=SIZE)) == 2


@pytest.mark.parametrize(
    ("name", "at", "message"),
    [
        pytest.param("dog", [0.1, 0.1, 0.2, 0.2], "box 1 has the class 'dog', wanted one of zero, one", id="class"),
        pytest.param(None, [0.1, 0.1, 0.2, 0.2], "box 1 has the class None", id="no_class"),
        pytest.param("one", [0.1, 0.1, 0.0, 0.2], "zero or negative area", id="no_area"),
        pytest.param("one", [0.9, 0.1, 0.2, 0.2], "outside the frame by 0.1", id="outside"),
        pytest.param("one", [0.1, float("nan"), 0.2, 0.2], "wanted finite numbers", id="nan"),
        pytest.param("one", None, "box 1 cannot be", id="no_box"),
    ],
)
def test_a_label_that_cannot_be_is_refused(name: str | None, at: Any, message: str) -> None:
    """What a person or a script left in the database is checked on the server, box by box."""
    with pytest.raises(UserError, match=re.escape(message)):
        voxel_samples.drawn([(name, at)], [], CLASSES, size=SIZE)


def fails(*_: Any, **__: Any) -> None:
    """Do as MongoDB's driver does when the server is gone."""
    raise AutoReconnect("connection refused")


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The decisions that come to the ledger; the sample is there."""
    kept: list[str] = []

    def write(kind: str, image_id: str, label_digest: str, *, reviewer: str, reason: str) -> Any:
        kept.append(kind)
        return SimpleNamespace(decision=kind, image_id=image_id, label_digest=label_digest, reviewer=reviewer)

    shown = voxel_deciding.Shown(
        sample_id="s", image_id="i", name="page 7", label_digest="d", boxes=[box()], drawn=[box()]
    )
    monkeypatch.setattr(deciding, "decide", write)
    monkeypatch.setattr(voxel_deciding, "_shown", lambda *_: shown)
    return kept


def test_the_database_fails_before_the_ledger(written: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing was decided, and the person is told so."""
    monkeypatch.setattr(voxel_deciding, "_shown", fails)
    with pytest.raises(UserError, match=r"does not answer \(connection refused\): nothing was decided"):
        voxel_deciding.decide(None, "s", "accept", reviewer="Ada", reason="")
    assert written == []


def test_the_database_fails_behind_the_ledger(written: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """The decision counts, and the person is told that it does and how it will be shown."""
    monkeypatch.setattr(voxel_decisions, "set_queued", fails)
    with pytest.raises(UserError, match=r"the decision on page 7 is in the ledger; end the App"):
        voxel_deciding.decide(None, "s", "accept", reviewer="Ada", reason="")
    assert written == ["accept"]


class Gone:
    """What an operator is handed where the database is gone."""

    params: ClassVar[dict[str, Any]] = {"sample_id": "s", "reviewer": "Ada", "next": True}
    view = None
    current_sample = None
    dataset = property(fails)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        pytest.param("accept", "nothing was decided", id="accept"),
        pytest.param("reject", "nothing was decided", id="reject"),
        pytest.param("correct", "nothing was decided", id="correct"),
        pytest.param("undo", "nothing was taken back", id="undo"),
        pytest.param("next", "the queue is not known", id="next"),
    ],
)
def test_the_database_is_gone_when_a_key_is_pressed(name: str, message: str) -> None:
    """Also where FiftyOne itself cannot open the dataset, the person is told that nothing was written."""
    with pytest.raises(UserError, match=rf"does not answer \(connection refused\): {message}"):
        operator(name).execute(Gone())


def test_the_database_fails_before_the_next_image(written: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """The decision is shown, and the next image is not to be had: the person is told that the decision counts."""
    monkeypatch.setattr(voxel_deciding, "_show", lambda *_: None)
    monkeypatch.setattr(voxel_deciding, "next_in_queue", fails)
    silent = SimpleNamespace(notify=lambda *_, **__: None)
    given = context(params=Gone.params, ops=silent, trigger=lambda *_, **__: None)
    with pytest.raises(UserError, match="the decision on i is in the ledger"):
        operator("accept").execute(given)
    assert written == ["accept"]


def test_the_ledger_fails(written: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """What cannot be written is not shown either."""

    def refuse(*_: Any, **__: Any) -> None:
        raise UserError("the disk is full")

    monkeypatch.setattr(deciding, "decide", refuse)
    monkeypatch.setattr(voxel_decisions, "set_queued", lambda *_, **__: written.append("shown"))
    with pytest.raises(UserError, match="the disk is full"):
        voxel_deciding.decide(None, "s", "reject", reviewer="Ada", reason="blurred")
    assert written == []


def test_labels_that_the_view_hides_are_not_decided_on(written: list[str]) -> None:
    """A decision is about all labels of an image, so all have to be before the person."""
    hidden = SimpleNamespace(select=lambda _: SimpleNamespace(values=lambda _: [[]]))
    with pytest.raises(UserError, match="shows 0 of the 1 labels of page 7"):
        voxel_deciding.decide(None, "s", "accept", reviewer="Ada", reason="", view=hidden)
    assert written == []


def test_an_address_that_is_not_this_machines_is_an_error() -> None:
    """A wrong --address is told before the dataset is built."""
    with pytest.raises(UserError, match=r"port 5151 on 203\.0\.113\.1 cannot be used"):
        voxel_app.check_port(5151, address="203.0.113.1")
