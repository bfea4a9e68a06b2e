"""The benchmarks' table: its ratios, what holds, and what got worse."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from benchmarks import __main__ as command
from benchmarks import comparing, growth
from benchmarks.comparing import Comparison, Cost, Results


def comparison(**changes: Any) -> Comparison:
    """A line of the table, as good as is wanted."""
    values = {
        "row": "training", "what": "a net", "unit": "images/s", "peer": "a loop", "ours": [18.0, 22.0, 30.0],
        "theirs": [10.0, 10.0, 20.0], "wanted": 1.8,
    }  # fmt: skip
    return Comparison(**{**values, **changes})


def test_ratios_are_taken_turn_by_turn() -> None:
    """The median of the turns' ratios counts, not the ratio of medians."""
    one = comparison()
    assert one.ratios == [1.8, 2.2, 1.5]
    assert one.ratio == 1.8


@pytest.mark.parametrize(
    ("unit", "wanted", "holds"),
    [("images/s", 1.8, True), ("images/s", 1.9, False), ("s", 1.8, True), ("s", 1.7, False), ("s", None, None)],
)
def test_what_holds(*, unit: str, wanted: float | None, holds: bool | None) -> None:
    """Where the unit is seconds the ratio is to be small, or else large."""
    assert comparison(unit=unit, wanted=wanted).holds is holds


@pytest.mark.parametrize(
    ("unit", "factor", "worse"),
    [("images/s", 0.66, True), ("images/s", 0.68, False), ("s", 1.34, True), ("s", 1.32, False), ("s", 0.1, False)],
)
def test_what_got_worse(*, unit: str, factor: float, worse: bool) -> None:
    """A ratio that is worse by more than a third is found, on either side."""
    kept = comparison(unit=unit)
    assert comparing.worse(comparison(unit=unit, ours=[one * factor for one in kept.ours]), kept) is worse


def test_results_are_read_as_they_were_written(tmp_path: Path) -> None:
    """What is kept comes back, to the digits that are kept; without a file there is nothing."""
    one = comparison(ours=[18.00004, 22.0, 30.0], ours_mb=100.0)
    results = {"full": Results(machine={"cores": "2"}, comparisons={one.name: one})}
    path = tmp_path / "results.json"
    assert comparing.read(path) == {}
    comparing.write(path, results)
    back = comparing.read(path)["full"]
    assert back.machine == {"cores": "2"}
    assert back.comparisons[one.name].ours == [18.0, 22.0, 30.0]
    assert back.comparisons[one.name].ours_mb == 100


def test_the_table() -> None:
    """A line says what was measured, what is wanted and whether it holds."""
    one, other = comparison(wanted=1.9), comparison(what="another", unit="s", ours_mb=1234.0, wanted=2.0)
    page = comparing.table(Results(machine={"cores": "2"}, comparisons={one.name: one, other.name: other}))
    assert "Made on: cores 2." in page
    assert (
        "| training | a net | 22 (18 to 30) images/s | a loop: 10 (10 to 20) images/s | 1.8 (1.5 to 2.2) | ≥ 1.9 |"
        in page
    )
    assert "**does not hold**" in page
    assert "| ≤ 2 | holds | 1,234 /  |" in page


def test_the_page_is_that_of_the_results() -> None:
    """What stands in results.md is written from results.json."""
    kept = comparing.read(command.RESULTS)
    if "full" not in kept:
        pytest.skip("no results are kept yet")
    assert command.PAGE.read_text() == comparing.table(kept["full"])
    assert {one.row for one in kept["full"].comparisons.values()} <= set(command.ROWS)


def test_a_command_is_measured(tmp_path: Path) -> None:
    """Time, memory and what it says in its last line; a command that fails ends the benchmark with its output."""
    mine = bytearray(b"1") * 400_000_000  # a process takes over the peak of the one that starts it
    code = "import sys, time; time.sleep(0.2); x = b'1' * 60_000_000; print('so'); print('{\"seconds\": 2}')"
    found = comparing.python("-c", code, folder=tmp_path)
    assert found.told == {"seconds": 2}
    assert found.seconds > 0.2
    assert found.processor < found.seconds + 1
    assert 60 < found.peak_mb < len(mine) / 2**20
    with pytest.raises(SystemExit, match="exit code 3\nwhy"):
        comparing.run(sys.executable, "-c", "print('why'); raise SystemExit(3)", folder=tmp_path)


def test_turns_change_their_order() -> None:
    """What is measured first in one turn is measured last in the next."""
    order: list[str] = []

    def way(name: str) -> Cost:
        order.append(name)
        return Cost(seconds=1, processor=1, peak_mb=1, told={})

    found = comparing.in_turns({name: (lambda name=name: way(name)) for name in "ab"}, turns=3)  # type: ignore[misc]
    assert order == ["a", "b", "b", "a", "a", "b"]
    assert {name: len(costs) for name, costs in found.items()} == {"a": 3, "b": 3}


def test_a_ratio_that_got_worse_fails_the_quick_form(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The quick form ends with an error where a ratio is worse than the kept one by a third, and keeps nothing."""
    from benchmarks import ingest

    monkeypatch.setattr(command, "RESULTS", tmp_path / "results.json")
    monkeypatch.setattr(command, "PAGE", tmp_path / "results.md")
    measured = [comparison(row="ingest", unit="s", ours=[1.0], theirs=[1.0])]
    monkeypatch.setattr(ingest, "compare", lambda _folder, *, quick: measured)  # noqa: ARG005
    run = CliRunner()
    assert run.invoke(command.main, ["ingest", "--quick", "--write"]).exit_code == 0
    assert run.invoke(command.main, ["ingest", "--quick"]).exit_code == 0
    measured[:] = [comparison(row="ingest", unit="s", ours=[1.5], theirs=[1.0])]
    kept = command.RESULTS.read_bytes()
    done = run.invoke(command.main, ["ingest", "--quick"])
    assert done.exit_code == 1
    assert "the ratio is 1.5 a second time too, kept is 1" in done.output
    assert command.RESULTS.read_bytes() == kept
    assert not command.PAGE.exists()
    assert run.invoke(command.main, ["ingest"]).exit_code == 0
    assert "1.5 s" in command.PAGE.read_text()


def test_ratios_of_another_processor_are_not_compared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One with other units computes other ratios: that is said, and fails nothing."""
    from benchmarks import ingest

    monkeypatch.setattr(command, "RESULTS", tmp_path / "results.json")
    measured = [comparison(row="ingest", unit="s", ours=[1.0], theirs=[1.0])]
    monkeypatch.setattr(ingest, "compare", lambda _folder, *, quick: measured)  # noqa: ARG005
    assert CliRunner().invoke(command.main, ["ingest", "--quick", "--write"]).exit_code == 0
    here = comparing.machine()
    monkeypatch.setattr(comparing, "machine", lambda: {**here, "processor": "another"})
    measured[:] = [comparison(row="ingest", unit="s", ours=[9.0], theirs=[1.0])]
    done = CliRunner().invoke(command.main, ["ingest", "--quick"])
    assert done.exit_code == 0
    assert "Kept is what another processor measured" in done.output


def test_what_is_worse_once_is_measured_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that was busy for a moment fails nothing."""
    from benchmarks import ingest

    monkeypatch.setattr(command, "RESULTS", tmp_path / "results.json")
    seconds = iter([1.0, 1.5, 1.2])
    monkeypatch.setattr(
        ingest,
        "compare",
        lambda _folder, *, quick: [comparison(row="ingest", unit="s", ours=[next(seconds)], theirs=[1.0])],  # noqa: ARG005
    )
    assert CliRunner().invoke(command.main, ["ingest", "--quick", "--write"]).exit_code == 0
    assert CliRunner().invoke(command.main, ["ingest", "--quick"]).exit_code == 0
    assert next(seconds, None) is None


def test_growth_is_measured() -> None:
    """The table of whole stages in the docs is that of the committed measurements, and no stage is left out."""
    measured = json.loads(growth.RESULT.read_text())
    assert list(measured) == list(growth.STAGES)
    assert growth.table(measured) in growth.PAGE.read_text()


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        pytest.param([1.0, 2.0, 11.0], "n^1.00", id="linear"),
        pytest.param([1.0, 1.5, 51.0], "n^2.00", id="quadratic"),
        pytest.param([1.0, 1.2, 2.0, 11.0], "n^1.00", id="of four"),
        pytest.param([5.0, 5.0, 5.1], "none", id="not at all"),
        pytest.param([5.0, 5.1, 6.0], "little", id="from some size on"),
    ],
)
def test_growth(seconds: list[float], said: str) -> None:
    """Growth is the slope of what comes on top of the smallest project."""
    assert growth._growth(seconds) == said
