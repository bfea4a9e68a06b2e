"""The command `check`: verdicts for people and for programs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from pipeline import checking, cli
from pipeline.core import history, judgements
from pipeline.core.errors import UserError
from pipeline.core.judgements import Verdict
from pipeline.core.paths import RunPaths
from tests import report_builders as build
from tests import retention_builders


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A healthy arm, and one that collapses, in the working directory."""
    monkeypatch.chdir(tmp_path)
    build.project(tmp_path)
    return tmp_path


def test_text_is_terse(project: Path) -> None:
    """An arm has its verdict with the night, its reason, its diagnosis and its warnings, each in a line."""
    lines = checking.as_text(checking.collect()).splitlines()
    assert lines[:9] == [
        "tame: HEALTHY, night 1 of 30, schedule confirm",
        "  the reason of tame-1.",
        "  diagnosis: nothing supported",
        "  early warnings: 1 (vanishing-class)",
        "wild: COLLAPSING, night 2 of 30, schedule confirm",
        "  recall of lynx fell.",
        "  diagnosis: collapse",
        "  early warnings: 1 (vanishing-class)",
        "",
    ]


def test_json_has_all_of_every_run(project: Path) -> None:
    """Every run has its night, tests with level and confirmation, diagnosis and warnings, and what it had before."""
    value = json.loads(checking.as_json(checking.collect()))
    assert value["verdict"] == "COLLAPSING"
    assert value["base"]["classes"]["lynx"] == {"recall": 0.9, "support": 40}
    run = value["arms"]["wild"]["runs"]["wild-2"]
    assert run.keys() >= {"verdict", "reason", "generation", "map50_95", "map50", "rare_classes", "classes"}
    assert (run["night"], run["horizon"], run["schedule"], run["seeds"]) == (2, 30, "confirm", [1, 2])
    assert run["diagnosis"] == ["collapse"]
    assert run["warnings"] == [{"name": "vanishing-class", "text": "a class is about to vanish"}]
    assert run["tests"][1] | {"figure": "recall of lynx", "level": 0.02, "confirmed": True} == run["tests"][1]


def test_falling_figures_are_named(project: Path) -> None:
    """A trend that is shown to fall is in the JSON by the name of its figure."""
    trend = build.judgement().trends[0]
    falling = type(trend)(figure="mAP50", values=(0.9, 0.5), slope=-0.4, p_value=0.0, level=0.01, falling=True)
    judgements.write(RunPaths("wild-2").gate, build.judgement("wild-2", "wild", 2, trends=(trend, falling)))
    value = json.loads(checking.as_json(checking.collect("wild")))
    assert value["arms"]["wild"]["runs"]["wild-2"]["falling"] == ["mAP50"]


@pytest.mark.parametrize(
    ("arm", "code"), [pytest.param(None, 3, id="worst arm"), pytest.param("tame", 0, id="one arm")]
)
def test_exit_code_is_that_of_the_worst_arm(project: Path, arm: str | None, code: int) -> None:
    """0 healthy, 3 collapsing, 4 inconclusive."""
    assert checking.exit_code(checking.collect(arm)) == code
    judgements.write(RunPaths("tame-1").gate, build.judgement("tame-1", "tame", 1, Verdict.INCONCLUSIVE))
    assert checking.exit_code(checking.collect("tame")) == 4


def test_unknown_arm_is_a_users_error(project: Path) -> None:
    """A misspelt arm is named, with what may have been meant."""
    with pytest.raises(UserError, match="no arm 'wilf'; did you mean 'wild'"):
        checking.collect("wilf")


def test_command_prints_and_exits(project: Path) -> None:
    """The command line gives the same, and its exit code."""
    done = CliRunner().invoke(cli.main, ["check", "--json"])
    assert done.exit_code == 3
    assert json.loads(done.stdout)["arms"]["tame"]["verdict"] == "HEALTHY"


def retired(number: int) -> None:
    """Put so many retired runs of the arm `wild` on record, from `wild-101`."""
    for generation in range(1, number + 1):
        history.write(retention_builders.record(f"wild-{100 + generation}", verdict=Verdict.COLLAPSING))


def test_retired_runs_are_history(project: Path) -> None:
    """They have their line in the table and their figures in the JSON, and no say in the exit code."""
    before = checking.exit_code(checking.collect("tame"))
    history.write(retention_builders.record("tame-0", verdict=Verdict.COLLAPSING))
    summary = checking.collect("tame")
    assert checking.exit_code(summary) == before == 0
    (line,) = [line for line in checking.as_text(summary).splitlines() if line.endswith("retired")]
    assert line.split()[:4] == ["tame-0", "COLLAPSING", "0.600", "0.800"]
    assert line.split()[4] == "0.900"
    one = json.loads(checking.as_json(summary))["arms"]["tame"]["retired"]["tame-0"]
    assert (one["verdict"], one["map50_95"], one["classes"]["lynx"]) == (
        "COLLAPSING",
        0.6,
        {"recall": 0.9, "support": 40},
    )


def test_a_year_of_retired_runs_is_folded(project: Path) -> None:
    """The text has the newest thirty, and says how many there are before; the JSON has all."""
    retired(40)
    summary = checking.collect("wild")
    lines = checking.as_text(summary).splitlines()
    assert [line.split()[0] for line in lines if line.endswith("retired")] == [f"wild-{one}" for one in range(111, 141)]
    assert "… 10 older retired runs of wild; --json has all" in lines
    assert len(json.loads(checking.as_json(summary))["arms"]["wild"]["retired"]) == 40


def test_a_run_that_came_back_is_no_history(project: Path) -> None:
    """A record of a run that is in params.yaml is not shown twice."""
    history.write(retention_builders.record("wild-1"))
    assert checking.collect("wild").arms["wild"].retired == ()
