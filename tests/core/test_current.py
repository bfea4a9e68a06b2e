"""What an arm uses: promotions, rollbacks, and what is remembered of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.core import current
from pipeline.core.current import Current, Promotion
from pipeline.core.errors import UserError
from pipeline.core.history import Weights
from pipeline.core.judgements import Verdict


def promotion(run: str, by: str = "nightly") -> Promotion:
    """A promotion of a run `ARM-N`."""
    return Promotion(
        run=run, generation=int(run[-1]), verdict=Verdict.HEALTHY, by=by, reason="", time="2026-11-21T03:00:00+00:00",
        weights=Weights(md5=f"weights of {run}", size=3),
    )  # fmt: skip


def used(*runs: str) -> Current:
    """An arm to which these runs were promoted in turn."""
    state = None
    for run in runs:
        state = current.promoted(state, "tame", promotion(run))
    assert state
    return state


def test_a_promotion_remembers_those_before() -> None:
    """The newest stands first, each once, and no more than ten."""
    state = used("tame-1", "tame-2", "tame-1", "tame-3")
    assert (state.now.run, [one.run for one in state.earlier]) == ("tame-3", ["tame-1", "tame-2"])
    long = used(*(f"tame-{number}" for number in range(1, 20)))
    assert [one.run for one in long.earlier] == [f"tame-{number}" for number in range(18, 8, -1)]


def test_a_rollback_withdraws() -> None:
    """It goes back by one, says who did, and the run that it leaves is withdrawn until a person promotes it."""
    back = current.rolled_back(used("tame-1", "tame-2", "tame-3"), by="Ada", reason="blind at night", time="later")
    assert (back.now.run, back.now.by, back.now.reason, back.now.time) == ("tame-2", "Ada", "blind at night", "later")
    assert ([one.run for one in back.earlier], back.withdrawn) == (["tame-1"], ("tame-3",))
    assert current.promoted(back, "tame", promotion("tame-3", by="Ada")).withdrawn == ()


def test_nothing_to_go_back_to() -> None:
    """The first promotion has none before it."""
    with pytest.raises(UserError, match="tame used nothing before tame-1"):
        current.rolled_back(used("tame-1"), by="Ada", reason="", time="")


@pytest.mark.parametrize("arm", ["../tame", "a/b", "", ".tame", "né"], ids=["up", "folder", "empty", "dot", "é"])
def test_an_arm_that_makes_no_file_name(arm: str) -> None:
    """It is named, and nothing outside of the folder is looked at."""
    with pytest.raises(UserError, match=r"arm .* Rename the arm"):
        current.path(arm)
    assert current.read(arm) is None


def test_it_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is written is read; an arm without a promotion has none."""
    monkeypatch.chdir(tmp_path)
    state = used("tame-1", "tame-2")
    current.write(state)
    assert current.read_all(["tame", "wild"]) == {"tame": state}
    assert not promotion("tame-1").by_hand
    assert promotion("tame-1", by="Ada").by_hand
