"""`tailwatch plan`: how many boxes, for whom, and with which exit code."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner, Result

from pipeline import planning
from pipeline.cli import main
from pipeline.core import judgements, paths, verdicts
from pipeline.core.errors import UserError
from pipeline.core.paths import RunPaths
from tests.night_builders import GATE, first, night, night_audit, side, write, write_confirmation
from tests.project import ROOT

SIX, SIX_AGAIN = first(60, 54, lost=2, gained=2)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty project folder with the default params.yaml, as the working directory."""
    (tmp_path / "params.yaml").write_text((ROOT / "params.yaml").read_text())
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def base(folder: Path) -> Path:
    """A project whose base is audited: `four` has many test boxes, `six` few, and both are rare."""
    found = {"four": [True] * 2000, "six": SIX}
    write(night_audit("base", found), found)
    return folder


def run(*arguments: str) -> Result:
    """The command line."""
    return CliRunner().invoke(main, ["plan", *arguments])


def test_before_any_audit(folder: Path) -> None:
    """Without a base there is nothing to plan from: exit code 1, and what to run."""
    found = run()
    assert found.exit_code == 1
    assert "audit.json is missing. Run `uv run dvc repro`" in found.output


def test_few_boxes(base: Path) -> None:
    """Every rare class is named with the boxes that it needs; more are needed, so the exit code is 4."""
    found = run("--loss", "0.2")
    assert found.exit_code == 4
    planned = planning.plan(loss=0.2, power=0.8)
    assert [one.name for one in planned.classes] == ["four", "six"]
    four, six = planned.classes
    assert (four.more, four.boxes) == (0, 2000)
    assert six.more is not None
    assert 20 <= six.more <= 200
    assert f"six: needs {six.more} more test boxes, {six.to_show} in all; it has 60." in found.output
    assert "four: has enough test boxes" in found.output


def test_enough_boxes(base: Path) -> None:
    """One class that has enough: exit code 0."""
    found = run("--class", "four")
    assert found.exit_code == 0
    assert "six" not in found.output


def test_a_loss_under_the_margin_is_never_called(base: Path) -> None:
    """However many boxes show it, a loss under the margin is not COLLAPSING: exit code 4, and the reason."""
    found = run("--class", "four", "--loss", "0.05")
    assert found.exit_code == 4
    assert "a loss of 0.05 does so by chance only" in found.output


def test_json(base: Path) -> None:
    """For programs: the same numbers."""
    found = json.loads(run("--json", "--loss", "0.2", "--power", "0.9").output)
    planned = planning.plan(loss=0.2, power=0.9)
    assert (found["power"], found["schedule"], found["trainings"]) == (0.9, "confirm", 2)
    assert [one["more"] for one in found["classes"]] == [one.more for one in planned.classes]
    assert found["level"] == pytest.approx(0.02 / 6)  # three figures against two baselines


def needed(**options: float) -> int:
    """Boxes that `six` needs in all."""
    found = planning.plan("six", **({"loss": 0.2, "power": 0.8} | options)).classes[0].to_show
    assert found is not None
    return found


def test_less_needs_more(base: Path) -> None:
    """A smaller loss, or more power, needs more boxes."""
    assert needed(loss=0.15) > needed(loss=0.2) > needed(loss=0.4)
    assert needed(power=0.95) > needed(power=0.8) > needed(power=0.6)


def test_schedules(base: Path) -> None:
    """A night's share of a union bound asks for more boxes than one that is alone."""
    found = {}
    for schedule in ("uniform", "none"):
        value = yaml.safe_load(paths.PARAMS.read_text())
        value["gate"]["schedule"] = schedule
        paths.PARAMS.write_text(yaml.safe_dump(value))
        found[schedule] = needed()
    assert found["uniform"] > found["none"]


def test_how_much_changes_hands_is_measured_where_it_can_be(base: Path) -> None:
    """An assumption at first; then the base's second training and the HEALTHY runs; never another run."""
    assert planning.plan("six", loss=0.2, power=0.8).classes[0].source.startswith("an assumption")
    write_confirmation("base", {"four": [True] * 2000, "six": SIX_AGAIN})
    assert planning.plan("six", loss=0.2, power=0.8).classes[0].source == "base beside its own second training"
    before = {"four": [True] * 2000, "six": SIX}
    for name, hits in (("guarded-1", SIX_AGAIN), ("recursive-1", [False] * 60)):
        found = {"four": [True] * 2000, "six": hits}
        audit = night_audit(name, found)
        write(audit, found)
        both = night(side("base", before), side(name, found))
        judgements.write(RunPaths(name).gate, verdicts.judge(both, night_audit("base", before), audit, GATE))
    planned = planning.plan("six", loss=0.2, power=0.8).classes[0]
    assert planned.source == "base beside its own second training, guarded-1"
    assert planned.discordant == pytest.approx((4 + 4 + 1) / (120 + 1))


def test_an_unknown_class(base: Path) -> None:
    """A class that is misspelt is an error that says which was meant."""
    with pytest.raises(UserError, match=r"no class 'sixx'.*six.*there are: one, four, six"):
        planning.plan("sixx", loss=0.1, power=0.8)


def test_no_rare_class(folder: Path) -> None:
    """Where no class is rare, one has to be named; a common one may be."""
    found = {"one": [True] * 50}
    write(night_audit("base", found), found)
    assert run("--class", "one").exit_code == 4
    with pytest.raises(UserError, match="no class is rare: name one with --class"):
        planning.plan(loss=0.1, power=0.8)


def test_a_class_without_test_boxes(folder: Path) -> None:
    """A class of which nothing is known is planned for on a stated assumption."""
    found: dict[str, list[bool]] = {"six": []}
    write(night_audit("base", found), found)
    planned = planning.plan("six", loss=0.2, power=0.8).classes[0]
    assert planned.source == "an assumption, for there is no test box of it"
    assert planned.more == planned.to_show


@pytest.mark.parametrize(
    ("loss", "power"), [(0.0, 0.8), (1.0, 0.8), (0.1, 0.5), (0.1, 1.0)], ids=["none", "all", "coin", "certain"]
)
def test_numbers_out_of_range(base: Path, loss: float, power: float) -> None:
    """A loss and a power that cannot be are errors."""
    found = run("--loss", str(loss), "--power", str(power))
    assert found.exit_code == 1
    assert "wanted numbers in (0, 1) and in (0.5, 1)" in found.output


def test_a_number_that_is_not_worth_naming(base: Path) -> None:
    """A tiny loss needs more boxes than anyone verifies; the text says so."""
    found = run("--class", "six", "--loss", "0.002")
    assert found.exit_code == 4
    assert "six: needs more than 100,000 test boxes; it has 60." in found.output
