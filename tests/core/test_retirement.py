"""Which runs leave, what the others need of them, and what may be pruned: the rules, held to their promises."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.core import params, retirement
from pipeline.core.errors import UserError
from pipeline.core.judgements import Verdict
from pipeline.core.params import Params
from pipeline.core.paths import RunPaths
from pipeline.core.sections import Arm, Run
from tests.imports import ROOT
from tests.retention_builders import chain, record

PLAIN = params.load(ROOT / "params.yaml")
OBJECTS = st.frozensets(st.sampled_from("abcdefgh"))


def settings(runs: Mapping[str, Run], anchors: Mapping[str, Run] | None = None) -> Params:
    """Two arms, and these runs."""
    arms = {"tame": Arm(policy="accumulate", ratio=0.5), "wild": Arm(policy="replace", ratio=1.0)}
    return replace(PLAIN, arms=arms, runs=dict(runs), anchors=dict(anchors or {}))


def test_the_newest_runs_of_each_arm_stay() -> None:
    """Of each arm all but so many of the newest leave, the oldest first; what these descend from becomes an anchor."""
    both = settings(chain("tame", 5) | chain("wild", 2))
    plan = retirement.plan(both, last=3, finished=both.runs)
    assert plan.leaving == ("tame-1", "tame-2")
    assert plan.anchors == {"tame-2": both.runs["tame-2"]}


def test_an_anchor_moves_on() -> None:
    """The next retirement drops the anchor before; where nothing leaves, it stays."""
    before = settings(chain("tame", 6, oldest=3), {"tame-2": chain("tame", 2)["tame-2"]})
    assert retirement.plan(before, last=3, finished=before.runs).anchors == {"tame-3": before.runs["tame-3"]}
    same = retirement.plan(before, last=9, finished=before.runs)
    assert (same.leaving, same.anchors) == ((), before.anchors)


def test_a_run_that_is_not_finished_stays() -> None:
    """It stays however old it is, and the run before it becomes an anchor."""
    before = settings(chain("tame", 5))
    plan = retirement.plan(before, last=2, finished={"tame-1", "tame-3"})
    assert plan.leaving == ("tame-1", "tame-3")
    assert list(plan.anchors) == ["tame-1", "tame-3"]


@given(newest=st.integers(1, 9), last=st.integers(1, 9), unfinished=st.frozensets(st.integers(1, 9)))
def test_a_plan_gives_a_valid_file(newest: int, last: int, unfinished: frozenset[int]) -> None:
    """Whatever leaves, every run that stays descends from the base, an anchor, or another that stays."""
    before = settings(chain("tame", newest))
    finished = {f"tame-{number}" for number in range(1, newest + 1) if number not in unfinished}
    plan = retirement.plan(before, last=last, finished=finished)
    staying = {name: run for name, run in before.runs.items() if name not in plan.leaving}
    after = settings(staying, plan.anchors)
    assert [params._problem(after, name, run) for name, run in staying.items()] == [""] * len(staying)
    assert [params._anchor_problem(after, name, run) for name, run in plan.anchors.items()] == [""] * len(plan.anchors)
    assert len(staying) >= min(newest, last)
    assert set(plan.anchors) <= set(plan.leaving)


def test_what_is_read_of_anchors() -> None:
    """Mix, weights, audit and confirmation of the anchor, and the images that its mix names of retired runs."""
    here = settings(chain("tame", 5, oldest=4), {"tame-3": chain("tame", 3)["tame-3"]})
    records = {f"tame-{number}": record(f"tame-{number}") for number in (1, 2, 3)}
    records["tame-3"] = replace(records["tame-3"], images_of=("tame-2", "tame-3", "tame-4"))
    found = [Path(one.path) for one in retirement.read_of_anchors(here, records)]
    there = RunPaths("tame-3")
    wanted = [there.mix, there.train, there.audit, there.confirm, there.synthetic, RunPaths("tame-2").synthetic]
    assert sorted(found) == sorted(wanted)
    del records["tame-2"]
    with pytest.raises(UserError, match=r"data/history/tame-2\.json is missing.*from git"):
        retirement.read_of_anchors(here, records)


@pytest.mark.parametrize(
    ("keep", "current", "wanted"),
    [
        pytest.param({"every": 0}, (), {"tame-7", "tame-8"}, id="anchor and its images alone"),
        pytest.param({"every": 3}, (), {"tame-3", "tame-6", "tame-7", "tame-8"}, id="every third"),
        pytest.param({"every": 0}, ("tame-2",), {"tame-2", "tame-7", "tame-8"}, id="weights in use"),
        pytest.param({"every": 0, "healthy": True}, (), {"tame-4", "tame-7", "tame-8"}, id="healthy ones"),
        pytest.param({"every": 0, "last": 4}, (), {"tame-7", "tame-8"}, id="the newest are in params.yaml too"),
        pytest.param({"every": 0, "last": 5}, (), {"tame-6", "tame-7", "tame-8"}, id="the newest"),
    ],
)
def test_kept(keep: dict[str, Any], current: tuple[str, ...], wanted: set[str]) -> None:
    """What a run in params.yaml uses stays, whatever the rule; beside it, what the rule names."""
    here = settings(chain("tame", 10, oldest=9), {"tame-8": chain("tame", 8)["tame-8"]})
    records = {f"tame-{number}": record(f"tame-{number}", verdict=Verdict.COLLAPSING) for number in range(1, 9)}
    records["tame-8"] = replace(records["tame-8"], images_of=("tame-7", "tame-8"))
    records["tame-4"] = replace(records["tame-4"], verdict=Verdict.HEALTHY)
    rule = replace(PLAIN.nightly.keep, **({"last": 2} | keep))
    found = retirement.kept(here, records, rule, current=current)
    assert set(found) == wanted
    assert all(found.values())


@given(
    candidates=st.dictionaries(st.sampled_from(["tame-1", "tame-2", "tame-3"]), OBJECTS),
    protected=OBJECTS,
    remote=OBJECTS,
)
def test_pruning_keeps_its_promises(
    candidates: dict[str, frozenset[str]], protected: frozenset[str], remote: frozenset[str]
) -> None:
    """Nothing goes that the remote lacks, that anything else needs, or of a run that could not be restored whole."""
    found = retirement.prune(candidates, protected=protected, remote=remote)
    gone = [one for objects in found.removable.values() for one in objects]
    assert len(gone) == len(set(gone))
    assert set(gone) <= remote - protected
    assert found.removable.keys() | found.missing.keys() == candidates.keys()
    for run, objects in candidates.items():
        if run in found.missing:
            assert set(found.missing[run]) == objects - remote != frozenset()
            assert not objects & set(gone)
        else:
            assert objects - protected <= set(gone) | {one for other in found.missing for one in candidates[other]}


@given(
    candidates=st.dictionaries(st.sampled_from(["tame-1", "tame-2"]), OBJECTS), protected=OBJECTS, remote=OBJECTS,
    more=OBJECTS,
)  # fmt: skip
def test_more_that_is_needed_prunes_no_more(
    candidates: dict[str, frozenset[str]], protected: frozenset[str], remote: frozenset[str], more: frozenset[str]
) -> None:
    """Protecting more, or a remote that has less, never lets another object go."""

    def gone(safe: frozenset[str], there: frozenset[str]) -> set[str]:
        found = retirement.prune(candidates, protected=safe, remote=there)
        return {one for objects in found.removable.values() for one in objects}

    assert gone(protected | more, remote) <= gone(protected, remote)
    assert gone(protected, remote - more) <= gone(protected, remote)
