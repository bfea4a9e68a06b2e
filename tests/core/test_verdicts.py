"""The gate: every outcome is reached, for the reason that is given, and chance alone does not alarm more than alpha."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from pipeline.core import statistics, verdicts
from pipeline.core.audits import Audit, DuplicateFigures, Figure
from pipeline.core.errors import UserError
from pipeline.core.sections import Gate
from pipeline.core.verdicts import Judgement, Paired, Verdict
from tests.builders import audit

Replicates = tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]
GATE = Gate(alpha=0.05, recall_margin=0.1, map_margin=0.05, max_duplicates=0.2)
NAN = float("nan")


def pair(support: int, *, base: int, lost: int = 0, gained: int = 0) -> Paired:
    """Boxes of which the base found so many; the run lost some of these, and found some of the others."""
    before, after = np.zeros(support, dtype=bool), np.zeros(support, dtype=bool)
    before[:base] = True
    after[lost : base + gained] = True
    return Paired(base=before, run=after)


def replicates(loss: float, *, spread: float = 0.005, base: float = 0.7, count: int = 400) -> Replicates:
    """Replicates whose losses are evenly spread around one."""
    before = base + 0.02 * np.random.default_rng(0).normal(size=count)
    return before, before - loss - np.linspace(-2 * spread, 2 * spread, count)


def judge(
    paired: Mapping[str, Paired] | None = None,
    *,
    loss: float = 0.0,
    spread: float = 0.005,
    gate: Gate = GATE,
    **changes: Any,
) -> Judgement:
    """The verdict on a run that lost this much mAP, and these boxes."""
    run = audit("guarded-1", map50_95=Figure(value=0.7 - loss), **changes)
    return verdicts.judge(audit(), run, replicates(loss, spread=spread), paired or {}, {}, gate)


def test_healthy() -> None:
    """Nothing lost: a loss of the margin is ruled out in mAP and in every rare class."""
    found = judge({"four": pair(80, base=70), "six": pair(60, base=50, lost=1, gained=1)})
    assert found.verdict is Verdict.HEALTHY
    highs = [test.high for test in found.tests]
    assert [test.outcome for test in found.tests] == ["no loss"] * 3
    assert found.reason == (
        f"no rare class lost 0.1 of recall (largest possible loss: {highs[2]:.3f}, recall of six), "
        f"and mAP50-95 lost at most {highs[0]:.3f} (margin 0.05)."
    )
    assert all(test.settle is None for test in found.tests)


def test_healthy_without_rare_classes() -> None:
    """Where no class is rare, mAP alone decides."""
    found = judge()
    assert found.verdict is Verdict.HEALTHY
    assert found.reason.startswith("mAP50-95 lost at most 0.0")


def test_gains_are_healthy() -> None:
    """A run that is better everywhere is healthy, and the reason still has numbers."""
    found = judge({"six": pair(60, base=30, gained=20)}, loss=-0.1)
    assert found.verdict is Verdict.HEALTHY
    assert found.tests[0].high is not None
    assert found.tests[0].high < 0


def test_collapsing_by_recall() -> None:
    """Twelve of sixty boxes lost and one gained is a loss of recall, with its p value and boxes."""
    found = judge({"four": pair(80, base=70), "six": pair(60, base=50, lost=12, gained=1)})
    assert found.verdict is Verdict.COLLAPSING
    p_value = 3 * stats.binomtest(12, 13, 0.5, alternative="greater").pvalue  # Holm: the smallest of three
    assert found.reason == (
        f"recall of six fell from 0.833 to 0.650 (p = {p_value:.2g}, 12 of 60 boxes lost and 1 gained)."
    )
    six = found.tests[2]
    assert (six.lost, six.gained, six.samples, six.outcome) == (12, 1, 60, "loss")
    assert six.loss == pytest.approx(11 / 60)
    assert six.p_value == pytest.approx(p_value)


def test_collapsing_by_map() -> None:
    """A loss of mAP beyond the margin is shown by the bootstrap: p is one over the replicates and one."""
    found = judge(loss=0.08)
    assert found.verdict is Verdict.COLLAPSING
    assert found.reason == "mAP50-95 fell from 0.700 to 0.620 (p = 0.0025)."


def test_collapsing_by_duplicates() -> None:
    """Too many synthetic images that repeat another one are a collapse even where nothing is lost yet."""
    copies = DuplicateFigures(images=100, exact=5, near=21, near_real=0, threshold=2)
    found = judge({"six": pair(60, base=50)}, duplicates=copies)
    assert found.verdict is Verdict.COLLAPSING
    assert found.reason == "21 of 100 synthetic images repeat another one (21%, limit 20%)."
    assert judge(duplicates=replace(copies, near=20)).verdict is Verdict.HEALTHY


def test_no_synthetic_images() -> None:
    """A run without synthetic images has no duplicates to count."""
    none = DuplicateFigures(images=0, exact=0, near=0, near_real=0, threshold=2)
    assert judge(duplicates=none).verdict is Verdict.HEALTHY
    assert judge(duplicates=None).verdict is Verdict.HEALTHY


def test_all_reasons_are_given() -> None:
    """Several losses are all named, in one sentence."""
    copies = DuplicateFigures(images=10, exact=0, near=9, near_real=0, threshold=2)
    found = judge({"six": pair(60, base=50, lost=20)}, loss=0.08, duplicates=copies)
    assert found.verdict is Verdict.COLLAPSING
    assert [part.split(" ")[0] for part in found.reason.split("; ")] == ["mAP50-95", "recall", "9"]


def test_inconclusive_by_few_boxes() -> None:
    """Eight boxes, none lost: a loss of the margin is not ruled out; the reason says how many would do."""
    found = judge({"six": pair(8, base=8)})
    assert found.verdict is Verdict.INCONCLUSIVE
    six = found.tests[1]
    settle = statistics.boxes_to_settle(0, 0, 8, margin=0.1, alpha=0.05, factor=1.0)
    assert settle == 25  # Tango's bound without a loss is z^2 / (n + z^2), z = 1.645: under 0.1 from 25 boxes on
    assert six.settle == settle
    assert found.reason == (
        f"a loss of 0.1 in recall of six is neither shown nor ruled out: 0.000 ({six.low:.3f} to {six.high:.3f}); "
        "25 test boxes would settle it (now 8)."
    )


def test_inconclusive_by_a_small_loss() -> None:
    """A loss that is shown but under the margin, and whose interval reaches beyond it, stays open."""
    found = judge({"six": pair(400, base=380, lost=34)})
    six = found.tests[1]
    assert six.p_value is not None
    assert six.p_value < 0.001
    assert (six.outcome, found.verdict) == ("open", Verdict.INCONCLUSIVE)


def test_inconclusive_at_the_margin() -> None:
    """No number of images worth naming settles a loss of just the margin."""
    found = judge(loss=0.05, spread=0.04)
    assert found.verdict is Verdict.INCONCLUSIVE
    assert "the loss is too near the margin for any number of test images" in found.reason


def test_inconclusive_map() -> None:
    """A wide interval of mAP is open; four times the images halve it."""
    found = judge(loss=0.0, spread=0.05)
    assert found.verdict is Verdict.INCONCLUSIVE
    mean = found.tests[0]
    assert mean.high is not None
    assert mean.settle == pytest.approx(100 * (mean.high / 0.05) ** 2, abs=1)
    assert f"{mean.settle} test images would settle it (now 100)" in found.reason


def test_class_without_test_boxes() -> None:
    """A rare class without a single test box leaves the verdict open, and the reason says what is missing."""
    found = judge({"six": pair(0, base=0)})
    assert found.verdict is Verdict.INCONCLUSIVE
    assert found.reason == (
        "recall of six cannot be measured: there is no test box of it; verify test images that have some."
    )
    six = found.tests[1]
    assert (six.base, six.run, six.loss, six.p_value, six.settle) == (None,) * 5
    assert (six.samples, six.outcome) == (0, "open")


@pytest.mark.parametrize("found", [0, 2], ids=["nothing", "less than the margin"])
def test_base_finds_too_little(found: int) -> None:
    """Where the base run finds less than the margin, no loss can be seen: never HEALTHY, and no number would help."""
    judged = judge({"six": pair(60, base=found)})
    assert judged.verdict is Verdict.INCONCLUSIVE
    assert judged.reason == (
        f"recall of six is only {found / 60:.3f} in the base run: there is no loss of 0.1 to be seen."
    )
    assert judged.tests[1].settle is None


def test_no_map_at_all() -> None:
    """Without a test box of any class there is no mAP, and the verdict stays open."""
    nothing = Figure(value=None, reason="no test box")
    both = (np.full(100, NAN), np.full(100, NAN))
    judged = verdicts.judge(audit(map50_95=nothing), audit("guarded-1", map50_95=nothing), both, {}, {}, GATE)
    assert judged.verdict is Verdict.INCONCLUSIVE
    assert judged.reason.startswith("mAP50-95 cannot be measured")


def test_undefined_replicates_are_left_out() -> None:
    """Resamples without any test box do not count, on either side."""
    before, after = replicates(0.08)
    before[::7] = NAN
    run = audit("guarded-1", map50_95=Figure(value=0.62))
    assert verdicts.judge(audit(), run, (before, after), {}, {}, GATE).verdict is Verdict.COLLAPSING


def test_a_great_many_lost_boxes() -> None:
    """Where the p value is too small for a number, the loss is still shown."""
    judged = judge({"six": pair(3000, base=2500, lost=2000)})
    assert judged.verdict is Verdict.COLLAPSING
    assert "(p = 0, 2000 of 3000 boxes lost and 0 gained)" in judged.reason


def test_holm_over_all_classes() -> None:
    """Five of fifty boxes lost is shown alone (p = 1/32), but not when four other figures are looked at as well."""
    alone = judge({"six": pair(50, base=50, lost=6)}, loss=-0.05)
    assert alone.tests[1].p_value == pytest.approx(2 / 64)
    assert alone.verdict is Verdict.COLLAPSING
    others = {name: pair(200, base=190) for name in ("zero", "four", "five")}
    among = judge({"six": pair(50, base=50, lost=6), **others}, loss=-0.05)
    assert among.tests[1].p_value == pytest.approx(5 / 64)
    assert among.verdict is Verdict.INCONCLUSIVE


def test_evidence_is_passed_on() -> None:
    """The boxes that were lost come with the verdict."""
    lost = {"six": ("a/0", "b/2")}
    assert verdicts.judge(audit(), audit("guarded-1"), replicates(0), {}, lost, GATE).lost_boxes == lost


TRIALS = 400


def alarms(share_lost: float, share_gained: float, gate: Gate, *, loss: float = 0.0) -> dict[Verdict, int]:
    """How often each verdict comes out for three rare classes of 60 boxes and an mAP that loses this much."""
    rng = np.random.default_rng(20260101)
    found = dict.fromkeys(Verdict, 0)
    for _ in range(TRIALS):
        drawn = [rng.multinomial(60, [share_lost, share_gained, 1 - share_lost - share_gained]) for _ in range(3)]
        paired = {
            f"class {number}": pair(60, base=int(lost) + 30, lost=int(lost), gained=min(int(gained), 30 - int(lost)))
            for number, (lost, gained, _) in enumerate(drawn)
        }
        estimate = loss + rng.normal(0, 0.02)  # the run's true loss, as a test set shows it
        both = (np.full(300, 0.7), 0.7 - estimate - rng.normal(0, 0.02, size=300))
        run: Audit = audit("guarded-1", map50_95=Figure(value=0.7 - estimate))
        found[verdicts.judge(audit(), run, both, paired, {}, gate).verdict] += 1
    return found


def most(probability: float) -> int:
    """As many of the trials as chance gives an event of this probability, with one failure in ten thousand."""
    return int(stats.binom.ppf(0.9999, TRIALS, probability))


def test_false_alarms() -> None:
    """Where nothing is lost, COLLAPSING comes out with probability at most alpha, whatever the margins."""
    tiny = replace(GATE, recall_margin=0.001, map_margin=0.001)  # the p value alone decides
    count = alarms(0.1, 0.1, tiny)[Verdict.COLLAPSING]
    assert 0 < count <= most(GATE.alpha)
    assert alarms(0.1, 0.1, GATE)[Verdict.COLLAPSING] <= count


def test_false_comfort() -> None:
    """Where recall of each class loses just the margin, HEALTHY comes out with probability at most alpha."""
    assert alarms(0.15, 0.05, GATE)[Verdict.HEALTHY] <= most(GATE.alpha)
    assert alarms(0.0, 0.0, GATE, loss=GATE.map_margin)[Verdict.HEALTHY] <= most(GATE.alpha)


def test_power() -> None:
    """A loss of four times the margin is nearly always seen."""
    assert alarms(0.4, 0.0, GATE)[Verdict.COLLAPSING] > 0.95 * TRIALS


@given(st.lists(st.sampled_from(Verdict)))
def test_worst(given_: list[Verdict]) -> None:
    """The worst of some verdicts is the first of COLLAPSING, INCONCLUSIVE, HEALTHY that is among them."""
    found = verdicts.worst(given_)
    for one in (Verdict.COLLAPSING, Verdict.INCONCLUSIVE, Verdict.HEALTHY):
        if one in given_:
            assert found is one
            return
    assert found is Verdict.INCONCLUSIVE


def test_exit_codes() -> None:
    """0 healthy, 3 collapsing, 4 inconclusive; 1 and 2 are left to errors and wrong command lines."""
    assert {verdict: verdicts.exit_code(verdict) for verdict in Verdict} == {
        Verdict.HEALTHY: 0,
        Verdict.COLLAPSING: 3,
        Verdict.INCONCLUSIVE: 4,
    }


NUMBERS = st.none() | st.floats(-1, 1)
TESTS = st.builds(
    verdicts.Test,
    figure=st.text(max_size=5),
    base=NUMBERS,
    run=NUMBERS,
    loss=NUMBERS,
    low=NUMBERS,
    high=NUMBERS,
    p_value=NUMBERS,
    margin=st.floats(0, 1),
    lost=st.none() | st.integers(0, 99),
    gained=st.none() | st.integers(0, 99),
    samples=st.integers(0, 99),
    outcome=st.sampled_from(["loss", "no loss", "open"]),
    settle=st.none() | st.integers(0, 99),
)
JUDGEMENTS = st.builds(
    Judgement,
    run=st.text(max_size=5),
    arm=st.text(max_size=5),
    generation=st.integers(0, 99),
    verdict=st.sampled_from(Verdict),
    reason=st.text(max_size=20),
    tests=st.lists(TESTS, max_size=2).map(tuple),
    lost_boxes=st.dictionaries(st.text(max_size=5), st.lists(st.text(max_size=5), max_size=2).map(tuple), max_size=2),
)


@given(JUDGEMENTS)
def test_round_trip(judgement: Judgement) -> None:
    """A verdict is read as it was written, to the last bit."""
    with pytest.MonkeyPatch.context() as patch:
        kept: dict[str, str] = {}
        patch.setattr("pipeline.core.files.write_text", lambda path, text: kept.update({str(path): text}))
        patch.setattr(Path, "read_text", lambda path: kept[str(path)])
        verdicts.write(Path("gate.json"), judgement)
        assert verdicts.read(Path("gate.json")) == judgement


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"verdict": "FINE"}, id="unknown verdict"),
        pytest.param({"tests": [{"figure": "mAP50-95"}]}, id="test of another form"),
        pytest.param({"lost_boxes": []}, id="no classes"),
        pytest.param({"extra": 1}, id="key too many"),
    ],
)
def test_other_version(change: dict[str, Any], tmp_path: Path) -> None:
    """A verdict of another form is refused, with the command that makes it anew."""
    path = tmp_path / "gate.json"
    verdicts.write(path, judge())
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(UserError, match=r"gate\.json is not a verdict of this version .*dvc repro -f"):
        verdicts.read(path)


@pytest.mark.parametrize("content", ["", "[]", "3", "{}"], ids=str)
def test_no_verdict(content: str, tmp_path: Path) -> None:
    """A file that is no verdict at all is refused too."""
    path = tmp_path / "gate.json"
    path.write_text(content)
    with pytest.raises(UserError, match=r"is not a verdict of this version"):
        verdicts.read(path)


def test_missing(tmp_path: Path) -> None:
    """A missing verdict says which command makes it."""
    with pytest.raises(UserError, match=r"gate\.json is missing\. Run `uv run dvc repro`"):
        verdicts.read(tmp_path / "gate.json")
