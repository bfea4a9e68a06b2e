"""The gate: every outcome is reached, for the reason that is given."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from pipeline.core import judgements, verdicts
from pipeline.core.audits import Ancestor
from pipeline.core.comparisons import Side
from pipeline.core.errors import UserError
from pipeline.core.figures import Figure
from pipeline.core.judgements import Judgement, Verdict
from pipeline.core.sections import Gate
from tests.builders import ancestor, duplication
from tests.night_builders import GATE, IMAGES, first, night, night_audit, side

CONFIRM = replace(GATE, schedule="confirm")
FINE = {"four": (80, 75, 0, 0), "six": (60, 55, 1, 1)}
Counts = tuple[int, int, int, int]  # boxes, found by the base, of these lost, and gained


def sides(counts: Mapping[str, Counts], *, loss: float = 0.0, run: str = "guarded-1") -> tuple[Side, Side]:
    """A base and a run."""
    pairs = {
        name: first(total, found, lost=lost, gained=gained) for name, (total, found, lost, gained) in counts.items()
    }
    return (
        side("base", {name: pair[0] for name, pair in pairs.items()}),
        side(run, {name: pair[1] for name, pair in pairs.items()}, value=0.7 - loss),
    )


def judge(
    counts: Mapping[str, Counts] | None = None,
    *,
    loss: float = 0.0,
    again: Mapping[str, Counts] | None = None,
    gate: Gate = GATE,
    run: str = "guarded-1",
    collapsed: str = "",
    warnings: tuple[judgements.Warning, ...] = (),
    **changes: Any,
) -> Judgement:
    """The verdict on a run that lost this much mAP, and these boxes; `again`: on a second training, the same mAP."""
    counts = counts or {}
    base, here = sides(counts, loss=loss, run=run)
    second_base, second = sides(again, loss=loss, run=run) if again is not None else (None, None)
    found = {name: [True] * total for name, (total, *_) in counts.items()}
    return verdicts.judge(
        replace(night(base, here, second=second, second_base=second_base), collapsed=collapsed),
        night_audit("base", found),
        night_audit(run, found, value=0.7 - loss, **changes),
        gate,
        warnings=warnings,
    )


def test_healthy() -> None:
    """Nothing lost: a loss of the margin is ruled out in mAP and in every rare class."""
    found = judge(FINE)
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
    found = judge({"one": (100, 90, 50, 0)})
    assert found.verdict is Verdict.HEALTHY
    assert found.reason.startswith("mAP50-95 lost at most 0.0")


def test_gains_are_healthy() -> None:
    """A run that is better everywhere is healthy, and the reason still has numbers."""
    found = judge({"six": (60, 30, 0, 20)}, loss=-0.1)
    assert found.verdict is Verdict.HEALTHY
    assert found.tests[0].high is not None
    assert found.tests[0].high < 0


def test_collapsing_by_recall() -> None:
    """Fifteen of sixty boxes lost and one gained is a loss of recall, with its p value and boxes."""
    found = judge({"four": (80, 75, 0, 0), "six": (60, 50, 15, 1)})
    assert found.verdict is Verdict.COLLAPSING
    p_value = 3 * stats.binomtest(15, 16, 0.5, alternative="greater").pvalue  # Holm: the smallest of three
    assert found.reason == (
        f"recall of six fell from 0.833 in base to 0.600 (p = {p_value:.2g}, 15 of 60 boxes lost and 1 gained)."
    )
    six = found.tests[2]
    assert (six.lost, six.gained, six.samples, six.outcome) == (15, 1, 60, "loss")
    assert six.loss == pytest.approx(14 / 60)
    assert six.p_value == pytest.approx(p_value)
    assert six.level == pytest.approx(0.04 / 30)
    assert len(found.lost_boxes["six"]) == 15
    assert found.lost_boxes["six"][0] == "image000/200"


def test_collapsing_by_map() -> None:
    """A loss of mAP beyond the margin is shown by its bootstrap error."""
    found = judge(loss=0.08)
    assert found.verdict is Verdict.COLLAPSING
    assert found.reason.startswith("mAP50-95 fell from 0.700 in base to 0.620 (p = ")


def test_collapsing_by_duplicates() -> None:
    """Too many synthetic images that repeat another one are a collapse even where nothing is lost yet."""
    copies = duplication("image", items=100, near=21)
    found = judge(FINE, duplication=(copies,))
    assert found.verdict is Verdict.COLLAPSING
    assert found.reason == "21 of 100 synthetic images repeat another one (21%, limit 20%)."
    assert judge(FINE, duplication=(replace(copies, near=20),)).verdict is Verdict.HEALTHY
    assert judge(FINE, duplication=(replace(copies, level="object"),)).verdict is Verdict.HEALTHY


def test_no_synthetic_images() -> None:
    """A run without synthetic images has no duplicates to count."""
    assert judge(FINE, duplication=(duplication("image", items=0, near=0),)).verdict is Verdict.HEALTHY
    assert judge(FINE, duplication=()).verdict is Verdict.HEALTHY


def test_warnings_count_where_they_are_named() -> None:
    """An early warning is passed on, and makes COLLAPSING only where `gate.fail_on` names it."""
    warning = judgements.Warning(name="vanishing-class", text="six has 3 training boxes left.")
    told = judge(FINE, warnings=(warning,))
    assert (told.verdict, told.warnings) == (Verdict.HEALTHY, (warning,))
    failed = judge(FINE, warnings=(warning,), gate=replace(GATE, fail_on=("vanishing-class",)))
    assert failed.verdict is Verdict.COLLAPSING
    assert failed.reason == "six has 3 training boxes left (vanishing-class, in gate.fail_on)."


def test_all_reasons_are_given() -> None:
    """Several losses are all named, in one sentence."""
    copies = duplication("image", items=10, near=9)
    found = judge({"six": (60, 50, 20, 0)}, loss=0.08, duplication=(copies,))
    assert found.verdict is Verdict.COLLAPSING
    assert [part.split(" ")[0] for part in found.reason.split("; ")] == ["mAP50-95", "recall", "9"]


def test_inconclusive_by_few_boxes() -> None:
    """Eight boxes, none lost: a loss of the margin is not ruled out; the reason says how many would do."""
    found = judge({"six": (8, 8, 0, 0)})
    assert found.verdict is Verdict.INCONCLUSIVE
    six = found.tests[1]
    assert six.settle is not None
    assert 25 <= six.settle <= 120  # 25 rule it out where none of them is lost
    assert found.reason == (
        f"a loss of 0.1 in recall of six is neither shown nor ruled out: 0.000 ({six.low:.3f} to {six.high:.3f}); "
        f"{six.settle} test boxes would settle it (now 8)."
    )


def test_inconclusive_by_a_small_loss() -> None:
    """A loss that is shown but under the margin, and whose interval reaches beyond it, stays open."""
    found = judge({"six": (400, 380, 34, 0)})
    six = found.tests[1]
    assert six.p_value is not None
    assert six.p_value < 0.001
    assert (six.outcome, found.verdict) == ("open", Verdict.INCONCLUSIVE)


def test_inconclusive_at_the_margin() -> None:
    """No number of images worth naming settles a loss of just the margin that is not shown."""
    base, run = side("base", {}, spread=0.04), side("guarded-1", {}, value=0.65, spread=0.04)
    found = verdicts.judge(night(base, run), night_audit("base", {}), night_audit("guarded-1", {}), GATE)
    assert found.verdict is Verdict.INCONCLUSIVE
    assert "the loss is too near the margin for any number of test images" in found.reason


def test_class_without_test_boxes() -> None:
    """A rare class without a single test box leaves the verdict open, and the reason says what is missing."""
    found = judge({"four": (80, 75, 0, 0), "six": (0, 0, 0, 0)})
    assert found.verdict is Verdict.INCONCLUSIVE
    assert found.reason == (
        "recall of six cannot be measured: there is no test box of it; verify test images that have some."
    )
    six = found.tests[2]
    assert (six.base, six.run, six.loss, six.p_value, six.settle) == (None,) * 5
    assert (six.samples, six.outcome) == (0, "open")


@pytest.mark.parametrize("found", [0, 2], ids=["nothing", "less than the margin"])
def test_base_finds_too_little(found: int) -> None:
    """Where the base run finds less than the margin, no loss can be seen: never HEALTHY, and no number would help."""
    judged = judge({"six": (60, found, 0, 0)})
    assert judged.verdict is Verdict.INCONCLUSIVE
    assert judged.reason == f"recall of six is only {found / 60:.3f} in base: there is no loss of 0.1 to be seen."
    assert judged.tests[1].settle is None


def test_a_great_many_lost_boxes() -> None:
    """Where the p value is too small for a number, the loss is still shown."""
    judged = judge({"six": (3000, 2500, 2000, 0)})
    assert judged.verdict is Verdict.COLLAPSING
    assert "(p = 0, 2000 of 3000 boxes lost and 0 gained)" in judged.reason


def test_holm_over_all_figures() -> None:
    """What is shown beside mAP alone is not when another class is looked at as well."""
    alone = judge({"six": (50, 50, 11, 0)}, loss=-0.05)
    assert alone.tests[1].p_value == pytest.approx(2 / 2**11)
    assert alone.verdict is Verdict.COLLAPSING
    among = judge({"six": (50, 50, 11, 0), "four": (200, 190, 0, 0)}, loss=-0.05)
    assert among.tests[2].p_value == pytest.approx(3 / 2**11)
    assert among.verdict is Verdict.INCONCLUSIVE


def test_confirmed() -> None:
    """A loss that a second training shows as well is COLLAPSING; the figures are those of both."""
    lossy = {"six": (60, 55, 20, 0)}
    found = judge(lossy, again={"six": (60, 55, 12, 0)}, gate=CONFIRM)
    assert found.verdict is Verdict.COLLAPSING
    assert ", and again in a second training" in found.reason
    six = found.tests[1]
    assert (six.confirmed, six.lost, found.seeds) == (True, 16, (2, 2))
    assert six.loss == pytest.approx(16 / 60)


def test_not_confirmed() -> None:
    """A loss that a second training does not show is told, and leaves the verdict open."""
    found = judge({"six": (60, 55, 20, 0)}, again={"six": (60, 55, 1, 1)}, gate=CONFIRM)
    assert found.verdict is Verdict.INCONCLUSIVE
    assert found.tests[1].confirmed is False
    assert "is shown once and not confirmed" in found.reason
    assert "A second training did not confirm a loss of recall of six." in found.notes


def test_a_bad_night_needs_its_second_training() -> None:
    """Where the first training looks bad and the stage `confirm` did not run, there is no verdict."""
    with pytest.raises(UserError, match=r"guarded-1 looks bad and there is no second training of it"):
        judge({"six": (60, 55, 20, 0)}, gate=CONFIRM)


def test_after_a_collapse_a_second_training_is_not_asked_for() -> None:
    """What descends from a run whose loss two trainings showed is COLLAPSING by one, and the verdict says so."""
    found = judge({"six": (60, 55, 20, 0)}, gate=CONFIRM, collapsed="guarded-0")
    assert found.verdict is Verdict.COLLAPSING
    assert "second training" not in found.reason
    assert any("it descends from guarded-0" in one for one in found.notes)
    even = judge({"six": (60, 55, 0, 0)}, gate=CONFIRM, collapsed="guarded-0")
    assert not any("guarded-0" in one for one in even.notes)


def test_best_run_so_far_is_a_second_baseline() -> None:
    """A run as good as the base, but far from the best run so far, is COLLAPSING; Holm goes over both families."""
    base, run = sides({"six": (80, 40, 0, 0)}, run="guarded-3")
    best = side("guarded-2", {"six": [True] * 80})
    found = {"six": [True] * 80}
    judged = verdicts.judge(
        night(base, run, best=best), night_audit("base", found), night_audit("guarded-3", found), GATE
    )
    assert [(one.figure, one.baseline) for one in judged.tests] == [
        (figure, baseline) for baseline in ("base", "guarded-2") for figure in ("mAP50-95", "recall of six")
    ]
    assert judged.verdict is Verdict.COLLAPSING
    assert "recall of six fell from 1.000 in guarded-2 to 0.500" in judged.reason
    assert judged.tests[3].p_value == pytest.approx(4 / 2**40)


def line(values: Sequence[float | None]) -> tuple[Ancestor, ...]:
    """The base and a generation each, of this recall."""
    return tuple(
        ancestor(f"guarded-{number}" if number else "base", generation=number, recalls={"six": value})
        for number, value in enumerate(values)
    )


def test_a_steady_fall_is_collapsing() -> None:
    """Ten generations that each lose a little are COLLAPSING, though tonight's loss is within the margin."""
    values = [0.95 - 0.009 * number for number in range(11)]
    found = judge({"six": (60, 57, 4, 0)}, run="guarded-10", line=line(values))
    assert [one.falling for one in found.trends] == [False, True]
    assert found.verdict is Verdict.COLLAPSING
    assert found.reason.startswith("recall of six fell steadily, by 0.009 a generation, from 0.950 to 0.860 (p = ")


def test_a_line_with_a_gap_has_no_trend() -> None:
    """A figure that one generation lacks is not looked at; the others are."""
    found = judge({"six": (60, 57, 0, 0)}, run="guarded-2", line=line([0.9, None, 0.9]))
    assert [one.figure for one in found.trends] == ["mAP50-95"]


def test_past_the_horizon_a_new_one_begins() -> None:
    """After the last night of the horizon the trend starts from the base again, and a note says so."""
    found = judge(FINE, run="guarded-32", line=line([0.9] * 33))
    assert len(found.trends[0].values) == 3
    assert any("Generation 32 is past the horizon of 30 nights" in note for note in found.notes)


def test_notes_say_what_is_not_in_the_intervals() -> None:
    """With one training each the verdict says that the variance between trainings is not in it."""
    assert any("the variance between trainings is not in the intervals" in note for note in judge(FINE).notes)
    both = judge({"six": (60, 55, 20, 0)}, again={"six": (60, 55, 20, 0)}, gate=CONFIRM)
    assert not any("between trainings is not" in note for note in both.notes)


def test_without_a_schedule_a_note_says_what_that_costs() -> None:
    """With every night alone, a month of them alarms more often than not, and the verdict says how often."""
    found = judge(FINE, gate=replace(GATE, schedule="none"))
    assert any("with probability 79%" in note for note in found.notes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        pytest.param({"test": "0" * 64}, "different test splits", id="other-images"),
        pytest.param({"test_images": 99}, "different test splits", id="another-number-of-images"),
        pytest.param({"iou": 0.75}, r"another audit\.iou", id="another-iou"),
        pytest.param({"classes": ()}, "other classes", id="other-classes"),
    ],
)
def test_other_test_splits_are_refused(changes: dict[str, Any], message: str) -> None:
    """A run that was measured otherwise than the base is not judged."""
    with pytest.raises(UserError, match=rf"base and guarded-1.*{message}"):
        judge(FINE, **changes)


def test_a_level_that_spends_too_much_is_refused() -> None:
    """The verdict does not claim an alpha that its level of confirmation cannot hold."""
    with pytest.raises(UserError, match=r"gate\.level 0\.2"):
        judge(FINE, gate=replace(CONFIRM, level=0.2))


def test_one_image() -> None:
    """A test split of one image gives no error to be told: INCONCLUSIVE, whatever was found on it."""
    base, run = (replace(one, images=1, boxes=one.boxes.assign(image_id="a")) for one in sides({"six": (9, 9, 0, 0)}))
    found = {"six": [True] * 9}
    audits = [night_audit(name, found, test_images=1) for name in ("base", "guarded-1")]
    judged = verdicts.judge(night(base, run), audits[0], audits[1], GATE)
    assert judged.verdict is Verdict.INCONCLUSIVE
    assert "its test boxes are on too few images" in judged.reason


def test_no_map_at_all() -> None:
    """Without a test box of any class there is no mAP, and the verdict stays open."""
    base, run = (replace(one, maps=()) for one in sides({}))
    nothing = Figure(value=None, reason="no test box")
    judged = verdicts.judge(
        night(base, run), night_audit("base", {}, map50_95=nothing), night_audit("guarded-1", {}), GATE
    )
    assert judged.verdict is Verdict.INCONCLUSIVE
    assert judged.reason.startswith("mAP50-95 cannot be measured")
    assert judged.tests[0].samples == IMAGES


def test_round_trip(tmp_path: Path) -> None:
    """A verdict is read as it was written, to the last bit."""
    path = tmp_path / "gate.json"
    for found in (judge(FINE), judge({"six": (0, 0, 0, 0), "four": (60, 55, 20, 0)}, run="guarded-2")):
        judgements.write(path, found)
        assert judgements.read(path) == found


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
