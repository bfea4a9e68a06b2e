"""The section `nightly` refuses what no night could do, and says what was meant."""

from __future__ import annotations

from datetime import date

import pytest

from pipeline.core import params
from pipeline.core.errors import UserError
from pipeline.core.night_settings import Nightly
from tests.core.test_masking import TEXT


def parsed(section: str) -> Nightly:
    """The section as the project reads it."""
    return params.parse(f"{TEXT}nightly: {section}\n").nightly


def test_a_project_without_the_section_has_the_defaults() -> None:
    """A project from before there were nights goes on working."""
    assert params.parse(TEXT).nightly == Nightly()


@pytest.mark.parametrize("day", ["2027-01-31", "'2027-01-31'"], ids=["as YAML's date", "as text"])
def test_the_last_day(day: str) -> None:
    """A day may be quoted or not."""
    assert parsed(f"{{ until: {day} }}").until == date(2027, 1, 31)


@pytest.mark.parametrize(
    ("section", "words"),
    [
        ("{ stop_on: [stail] }", "did you mean 'stale'"),
        ("{ stop_on: [low-coverage] }", "wanted one of"),
        ("{ limits: { trian: 3 } }", "no stage trian"),
        ("{ limits: { train: 0 } }", "wanted more than 0"),
        ("{ disk_margin: 0.5 }", "at least 1"),
        ("{ until: 2027-02-30 }", "params.yaml"),
        ("{ until: tomorrow }", "a day such as"),
        ("{ on_collapse: go }", "wanted one of stop, continue"),
        ("{ keep: { last: 0 } }", "at least 1 run"),
        ("{ arms: [guarded, guarded] }", "each once"),
        ("{ stale_days: 0 }", "more than 0"),
    ],
)
def test_what_is_refused(section: str, words: str) -> None:
    """A value that no night could act on is an error that says what is wanted."""
    with pytest.raises(UserError, match=words):
        parsed(section)


@pytest.mark.parametrize(
    ("stage", "minutes"),
    [("train@guarded-1", 5.0), ("train-base", 5.0), ("audit@x", 600.0), ("", 600.0)],
    ids=["of a run", "of the base", "without a limit of its own", "DVC itself"],
)
def test_limits_are_by_the_name_of_the_stage(stage: str, minutes: float) -> None:
    """A limit holds for all runs of a stage."""
    assert parsed("{ limits: { train: 5 } }").minutes(stage) == minutes
