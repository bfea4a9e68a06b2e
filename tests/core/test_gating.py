"""The gate's arithmetic: its laws, and its parts against SciPy and statsmodels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.multitest import multipletests

from pipeline.core import gating, statistics
from pipeline.core.gating import Evidence
from pipeline.core.judgements import Verdict
from pipeline.core.sections import Schedule
from tests.night_builders import GATE, first

BoolArray = npt.NDArray[np.bool_]
CONFIRM = replace(GATE, schedule="confirm")
ORDER = (Verdict.HEALTHY, Verdict.INCONCLUSIVE, Verdict.COLLAPSING)


def column(found: Sequence[bool]) -> BoolArray:
    """One training's boxes, shape (boxes, 1)."""
    return np.array(found, dtype=bool).reshape(-1, 1)


def evidence(total: int, found: int, *, lost: int = 0, gained: int = 0) -> Evidence:
    """One class, each box on an image of its own."""
    base, run = (column(one) for one in first(total, found, lost=lost, gained=gained))
    return gating.recall(base, run, np.arange(total), margin=0.1, alpha=0.05)


@st.composite
def classes(draw: st.DrawFn) -> tuple[BoolArray, BoolArray, npt.NDArray[np.int64]]:
    """Boxes of a class that base and run found or not, some images with several."""
    boxes = draw(st.integers(1, 60))
    hits = st.lists(st.booleans(), min_size=boxes, max_size=boxes)
    image = draw(st.lists(st.integers(0, boxes - 1), min_size=boxes, max_size=boxes))
    return column(draw(hits)), column(draw(hits)), np.array(image)


def rank(one: Evidence, schedule: Schedule = "uniform") -> int:
    """How bad a night of this figure alone is."""
    return ORDER.index(gating.decide([one], replace(GATE, schedule=schedule), night=30).verdict)


@settings(max_examples=80)
@given(case=classes(), which=st.integers(0, 59))
def test_a_lost_box_never_makes_it_better(case: tuple[BoolArray, BoolArray, npt.NDArray[np.int64]], which: int) -> None:
    """A box that the run no longer finds raises the loss, never the p value, and never mends the verdict."""
    base, run, image = case
    worse = run.copy()
    worse[which % len(run)] = False
    before, after = (gating.recall(base, one, image, margin=0.1, alpha=0.05) for one in (run, worse))
    assert before.loss is not None
    assert after.loss is not None
    assert before.p_value is not None
    assert after.p_value is not None
    assert after.loss >= before.loss
    assert after.p_value <= before.p_value * (1 + 1e-9)
    assert before.excluded or not after.excluded
    assert rank(after, "none") >= rank(before, "none")


@settings(max_examples=60)
@given(case=classes(), seed=st.integers(0, 1000))
def test_the_order_of_images_is_of_no_account(
    case: tuple[BoolArray, BoolArray, npt.NDArray[np.int64]], seed: int
) -> None:
    """Images under other numbers, and boxes in another order, give the same evidence to the last bit."""
    base, run, image = case
    rng = np.random.default_rng(seed)
    order, renamed = rng.permutation(len(image)), rng.permutation(len(image))
    again = gating.recall(base[order], run[order], renamed[image][order], margin=0.1, alpha=0.05)
    assert again == gating.recall(base, run, image, margin=0.1, alpha=0.05)


@settings(max_examples=40)
@given(lost=st.integers(0, 30), gained=st.integers(0, 30), total=st.integers(80, 200))
def test_single_boxes_are_mcnemars(lost: int, gained: int, total: int) -> None:
    """With one box an image, the p value is that of statsmodels' exact test."""
    one = evidence(total, 40, lost=lost, gained=gained)
    table = [[0, lost], [gained, 0]]
    two_sided = mcnemar(table, exact=True).pvalue
    expected = stats.binomtest(lost, lost + gained, alternative="greater").pvalue if lost + gained else 1.0
    assert one.p_value == pytest.approx(expected)
    if lost > gained:
        assert two_sided == pytest.approx(min(1.0, 2 * expected))


def test_several_boxes_of_an_image_are_one_loss() -> None:
    """Eight boxes lost on eight images are shown; on two images they might be two bad pages."""
    base, run = (column(one) for one in first(60, 60, lost=8))
    apart = gating.recall(base, run, np.arange(60), margin=0.1, alpha=0.05)
    together = gating.recall(base, run, np.arange(60) // 4, margin=0.1, alpha=0.05)
    assert apart.p_value == pytest.approx(1 / 2**8)
    assert together.p_value == pytest.approx(1 / 2**2)


def test_several_boxes_of_an_image_widen_the_bound() -> None:
    """A loss of the margin that is ruled out of independent boxes is not, where they are found and lost together."""
    base, run = (column(one) for one in first(88, 84, lost=4, gained=4))
    assert gating.recall(base, run, np.arange(88), margin=0.1, alpha=0.05).excluded
    assert not gating.recall(base, run, np.arange(88) // 4, margin=0.1, alpha=0.05).excluded


def test_a_class_without_test_boxes_is_never_healthy() -> None:
    """There is nothing to measure, so nothing is shown, and nothing is ruled out."""
    nothing = gating.recall(column([]), column([]), np.array([], dtype=int), margin=0.1, alpha=0.05)
    assert (nothing.loss, nothing.p_value, nothing.excluded) == (None, None, False)
    decision = gating.decide([evidence(200, 190), nothing], GATE, night=1)
    assert decision.verdict is Verdict.INCONCLUSIVE
    assert decision.outcomes == ("no loss", "open")
    assert decision.screen.adjusted[1] is None


@pytest.mark.parametrize("found", [0, 5, 19], ids=["nothing", "a-little", "nearly-the-margin"])
def test_a_base_that_finds_less_than_the_margin_rules_nothing_out(found: int) -> None:
    """Where the base finds fewer boxes than the margin, no such loss can show."""
    assert not evidence(200, found).excluded
    assert evidence(200, 20).excluded
    for count, excluded in ((found, False), (20, True)):
        twice = np.hstack([column([number < count for number in range(200)])] * 2)
        assert gating.recall(twice, twice, np.arange(200), margin=0.1, alpha=0.05).excluded is excluded


def test_one_image_is_inconclusive() -> None:
    """On one page nothing can be told of other pages, whatever the run found on it."""
    base, run = (column(one) for one in first(40, 40, lost=40))
    lost = gating.recall(base, run, np.zeros(40, dtype=int), margin=0.1, alpha=0.05)
    same = gating.recall(base, base, np.zeros(40, dtype=int), margin=0.1, alpha=0.05)
    assert gating.decide([lost], GATE, night=1).verdict is Verdict.INCONCLUSIVE
    assert gating.decide([same], GATE, night=1).verdict is Verdict.INCONCLUSIVE


def test_several_trainings_bring_their_variance() -> None:
    """Two trainings that differ much make a loss less sure than two that are alike, at the same mean."""
    image = np.arange(100)
    base = np.hstack([column([True] * 100)] * 2)
    alike = np.hstack([column([number >= 20 for number in range(100)])] * 2)
    apart = np.hstack([column([number >= lost for number in range(100)]) for lost in (38, 2)])
    sure, unsure = (gating.recall(base, run, image, margin=0.1, alpha=0.05) for run in (alike, apart))
    assert sure.loss == unsure.loss == 0.2
    assert sure.p_value is not None
    assert unsure.p_value is not None
    assert sure.p_value < 1e-4
    assert unsure.p_value > 0.05


def test_trainings_need_not_be_as_many() -> None:
    """Three trainings of the base beside one of the run: the loss is the difference of their means."""
    rng = np.random.default_rng(2)
    base, run = rng.random((90, 3)) < 0.9, rng.random((90, 1)) < 0.8
    one = gating.recall(base, run, np.arange(90), margin=0.1, alpha=0.05)
    assert one.loss == pytest.approx(base.mean() - run.mean())


def test_a_loss_of_just_the_margin_reaches_it() -> None:
    """Six of sixty boxes are a loss of 0.1, also when it is a mean over trainings."""
    base, run = first(60, 60, lost=6)
    twice = [np.hstack([column(one)] * 2) for one in (base, run)]
    pair = gating.recall(twice[0], twice[1], np.arange(60), margin=0.1, alpha=0.05)
    for one in (evidence(60, 60, lost=6), pair):
        assert one.loss is not None
        assert one.loss >= 0.1
    sure = Evidence(loss=0.1, p_value=1e-9, excluded=False, margin=0.1)
    assert gating.screen([sure], CONFIRM, night=1).suspicious


def test_mean_figure_is_students_test() -> None:
    """The p value of mAP is Student's, with one degree of freedom less than there are images."""
    one = gating.mean_figure([0.70], [0.66], error=0.015, images=50, margin=0.05, alpha=0.05)
    assert one.p_value == pytest.approx(stats.t.sf(0.04 / 0.015, 49))
    assert not one.excluded
    assert gating.mean_figure([0.70], [0.69], error=0.015, images=50, margin=0.05, alpha=0.05).excluded
    assert stats.t.ppf(0.95, 49) * 0.015 + 0.01 < 0.05


def test_mean_figure_may_be_as_small_as_a_month_needs() -> None:
    """The p value is not held up at one over the number of replicates."""
    one = gating.mean_figure([0.70], [0.60], error=0.01, images=300, margin=0.05, alpha=0.05)
    assert one.p_value is not None
    assert 0 < one.p_value < 1e-15


@pytest.mark.parametrize(
    ("base", "run"), [([], [0.7]), ([0.7], []), ([0.01], [0.01])], ids=["no-base", "no-run", "less-than-the-margin"]
)
def test_mean_figure_that_is_not_there(base: list[float], run: list[float]) -> None:
    """Without mAP, or with one under the margin, nothing is ruled out."""
    assert not gating.mean_figure(base, run, error=0.001, images=300, margin=0.05, alpha=0.05).excluded


@settings(max_examples=8)  # statsmodels takes a tenth of a second each
@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_screen_is_holms(p_values: list[float]) -> None:
    """The adjusted p values are statsmodels', in the order of the evidence."""
    found = gating.screen(
        [Evidence(loss=0.2, p_value=p, excluded=False, margin=0.1) for p in p_values], CONFIRM, night=1
    )
    np.testing.assert_allclose(found.adjusted, multipletests(p_values, method="holm")[1], rtol=1e-12)  # type: ignore[arg-type]
    assert found.suspicious == (min(p_values) * len(p_values) <= 0.02)


def test_a_small_loss_is_not_suspicious() -> None:
    """A loss under the margin, however sure, can make no run COLLAPSING: nothing is trained again for it."""
    small = Evidence(loss=0.03, p_value=1e-12, excluded=True, margin=0.05)
    assert not gating.screen([small], CONFIRM, night=1).suspicious
    assert gating.decide([small], CONFIRM, night=1).verdict is Verdict.HEALTHY


BAD, GOOD = evidence(60, 55, lost=20), evidence(200, 190)
MILD = evidence(60, 55, lost=4)


@pytest.mark.parametrize(
    ("second", "both", "verdict", "confirmed"),
    [
        pytest.param(None, None, Verdict.INCONCLUSIVE, None, id="not-yet"),
        pytest.param(BAD, BAD, Verdict.COLLAPSING, True, id="lost-again"),
        pytest.param(MILD, MILD, Verdict.INCONCLUSIVE, False, id="not-lost-again"),
        pytest.param(GOOD, GOOD, Verdict.HEALTHY, False, id="ruled-out-by-both"),
        pytest.param(BAD, MILD, Verdict.INCONCLUSIVE, True, id="less-than-the-margin-in-both"),
    ],
)
def test_confirmation(
    second: Evidence | None,
    both: Evidence | None,
    verdict: Verdict,
    confirmed: bool | None,  # noqa: FBT001
) -> None:
    """A night that looks bad is COLLAPSING only where a second training lost the same figure, and both the margin."""
    more = {"second": [second, GOOD], "both": [both, GOOD]} if second and both else {}
    decision = gating.decide([BAD, GOOD], CONFIRM, night=3, **more)  # type: ignore[arg-type]
    assert decision.verdict is verdict
    assert decision.confirmed == (confirmed, None)


def test_another_figure_does_not_confirm() -> None:
    """What the second training lost has to be what the first one lost."""
    decision = gating.decide([BAD, GOOD], CONFIRM, night=3, second=[GOOD, BAD], both=[MILD, MILD])
    assert decision.verdict is Verdict.INCONCLUSIVE
    assert decision.confirmed == (False, None)
    mirrored = gating.decide([GOOD, BAD], CONFIRM, night=3, second=[BAD, GOOD], both=[MILD, BAD])
    assert mirrored.verdict is Verdict.INCONCLUSIVE
    assert mirrored.confirmed == (None, False)


def test_after_a_collapse_one_training_is_enough() -> None:
    """The first false alarm of a line spends its error: what descends from a confirmed loss is not confirmed again."""
    assert gating.decide([BAD, GOOD], CONFIRM, night=3, collapsed=True).verdict is Verdict.COLLAPSING
    assert gating.decide([MILD, GOOD], CONFIRM, night=3, collapsed=True).verdict is Verdict.INCONCLUSIVE
    assert gating.decide([GOOD, GOOD], CONFIRM, night=3, collapsed=True).verdict is Verdict.HEALTHY


def test_without_confirmation_one_training_is_enough() -> None:
    """With the other schedules a night is judged by itself."""
    assert gating.decide([BAD, GOOD], GATE, night=3).verdict is Verdict.COLLAPSING


def test_obrien_fleming_is_strict_at_first() -> None:
    """A loss that the last night would call is not called on the first."""
    gate = replace(GATE, schedule="obrien-fleming")
    one = evidence(60, 55, lost=9)
    assert one.p_value == pytest.approx(1 / 512)
    assert gating.decide([one], gate, night=1).verdict is Verdict.INCONCLUSIVE
    assert gating.decide([one], gate, night=30).verdict is Verdict.COLLAPSING


def test_a_steady_fall_is_collapsing() -> None:
    """A trend that was shown makes COLLAPSING, though every figure is within its margin tonight."""
    assert gating.decide([GOOD], CONFIRM, night=9, falling=True).verdict is Verdict.COLLAPSING


def test_no_evidence_is_inconclusive() -> None:
    """Where nothing was looked at, nothing was ruled out."""
    assert gating.decide([], GATE, night=1).verdict is Verdict.INCONCLUSIVE


def test_second_and_both_come_together() -> None:
    """A second training without the figures of both, or with others, raises."""
    with pytest.raises(ValueError, match="wanted neither"):
        gating.decide([BAD], CONFIRM, night=1, second=[BAD])
    with pytest.raises(ValueError, match="wanted neither"):
        gating.decide([BAD, GOOD], CONFIRM, night=1, second=[BAD], both=[BAD])


TRIALS = 300


def verdicts(lost: float, gained: float, schedule: Schedule) -> dict[Verdict, int]:
    """How often each verdict comes out for three rare classes of 60 boxes, with and without a second training."""
    rng = np.random.default_rng(20260101)
    gate = replace(GATE, schedule=schedule, recall_margin=0.1)
    found = dict.fromkeys(Verdict, 0)

    def draw() -> Evidence:
        counts = rng.multinomial(60, [lost, gained, 1 - lost - gained])
        return evidence(60, 30 + int(counts[0]), lost=int(counts[0]), gained=min(int(counts[1]), 30 - int(counts[0])))

    for _ in range(TRIALS):
        one, again = [draw() for _ in range(3)], [draw() for _ in range(3)]
        more = again if schedule == "confirm" else None
        found[gating.decide(one, gate, night=1, second=more, both=more).verdict] += 1
    return found


def test_false_alarms_of_a_night() -> None:
    """Where nothing is lost, a night alone alarms with probability at most alpha, and a confirmed one hardly ever."""
    alone, confirmed = (verdicts(0.1, 0.1, schedule)[Verdict.COLLAPSING] for schedule in ("none", "confirm"))
    assert alone <= stats.binom.ppf(0.9999, TRIALS, GATE.alpha)
    assert confirmed <= stats.binom.ppf(0.9999, TRIALS, 0.02**2)


def test_false_comfort_and_power() -> None:
    """Where each class loses just the margin HEALTHY is as rare as alpha; a loss of four times that is seen."""
    assert verdicts(0.15, 0.05, "none")[Verdict.HEALTHY] <= stats.binom.ppf(0.9999, TRIALS, GATE.alpha)
    assert verdicts(0.4, 0.0, "confirm")[Verdict.COLLAPSING] > 0.95 * TRIALS


def test_a_loss_that_is_excluded_is_under_the_margin() -> None:
    """Tango's and Student's bounds are both held under the margin."""
    one = evidence(100, 90, lost=3, gained=3)
    assert one.excluded
    assert statistics.paired_loss_interval(3, 3, 100, confidence=0.9).high < 0.1
