"""The command `check`: verdicts for people and for programs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from pipeline import checking, cli
from pipeline.core import judgements
from pipeline.core.errors import UserError
from pipeline.core.judgements import Verdict
from pipeline.core.paths import RunPaths
from tests import report_builders as build


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
