"""HEALTHY, COLLAPSING or INCONCLUSIVE: each run against the base run on the same test images."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import Literal, assert_never

import numpy as np
import numpy.typing as npt

from pipeline.core import files, statistics
from pipeline.core.audits import Audit
from pipeline.core.errors import UserError
from pipeline.core.sections import Gate

Outcome = Literal["loss", "no loss", "open"]


class Verdict(StrEnum):
    """What the gate says of a run."""

    HEALTHY = "HEALTHY"
    COLLAPSING = "COLLAPSING"
    INCONCLUSIVE = "INCONCLUSIVE"


@dataclass(frozen=True, slots=True, kw_only=True)
class Test:
    """One figure of the run against the base.

    Attributes:
        figure: ``mAP50-95``, or ``recall of NAME``.
        base: the base run's value; None where there is none.
        run: the run's value.
        loss: base minus run.
        low: lower end of the loss's interval, one-sided at alpha.
        high: upper end of the loss's interval, one-sided at alpha.
        p_value: of no loss, one-sided, adjusted for the number of tests (Holm).
        margin: the loss that matters.
        lost: boxes that only the base found; None for mAP.
        gained: boxes that only the run found; None for mAP.
        samples: test boxes, or test images for mAP.
        outcome: loss: shown, and at least the margin; no loss: a loss of the margin is ruled out; open: neither.
        settle: how many test boxes (or images) would settle an open test at the present rates; None if it is not
            open, if the loss sits too near the margin for any number worth naming, or if the base finds too little.
    """

    figure: str
    base: float | None
    run: float | None
    loss: float | None
    low: float | None
    high: float | None
    p_value: float | None
    margin: float
    lost: int | None
    gained: int | None
    samples: int
    outcome: Outcome
    settle: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """The verdict on one run, with its reason and evidence.

    Attributes:
        run: its name.
        arm: of the run.
        generation: of the run.
        verdict: what the gate says.
        reason: why, in a sentence or two.
        tests: the comparisons with the base run.
        lost_boxes: test boxes of rare classes that the base found and the run did not, as ``image_id/box``, by class.
    """

    run: str
    arm: str
    generation: int
    verdict: Verdict
    reason: str
    tests: tuple[Test, ...]
    lost_boxes: Mapping[str, tuple[str, ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Paired:
    """The boxes of one class that were found by the base run and by the run; both arrays have shape (support,)."""

    base: npt.NDArray[np.bool_]
    run: npt.NDArray[np.bool_]

    @property
    def lost(self) -> int:
        """Boxes that only the base found."""
        return int((self.base & ~self.run).sum())

    @property
    def gained(self) -> int:
        """Boxes that only the run found."""
        return int((~self.base & self.run).sum())


def judge(
    base: Audit,
    run: Audit,
    replicates: tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]],
    paired: Mapping[str, Paired],
    lost_boxes: Mapping[str, tuple[str, ...]],
    gate: Gate,
) -> Judgement:
    """Give the verdict on a run.

    Args:
        base: audit of the base run.
        run: audit of the run.
        replicates: mAP50-95 of base and run in the same resamples of the test images, each of shape (replicates,).
        paired: for each rare class, which test boxes base and run found.
        lost_boxes: evidence, passed on.
        gate: alpha and margins.
    """
    resampled = statistics.bootstrap_loss(*replicates, confidence=1 - 2 * gate.alpha)
    raw = {"mAP50-95": resampled.p_value}
    raw |= {
        f"recall of {name}": statistics.mcnemar_loss(pair.lost, pair.gained)
        for name, pair in paired.items()
        if len(pair.base)
    }
    adjusted = statistics.holm(raw)
    # A p value of many lost boxes is too small for a number; such a test is not open, and needs no factor.
    factors = {name: adjusted[name] / raw[name] if raw[name] else 1.0 for name in raw}
    tests = [_map_test(base, run, resampled.interval, adjusted["mAP50-95"], gate)]
    for name, pair in paired.items():
        figure = f"recall of {name}"
        tests.append(_recall_test(figure, pair, adjusted.get(figure), factors.get(figure, 1.0), gate))
    verdict, reason = _conclude(tests, run, gate)
    return Judgement(
        run=run.run,
        arm=run.arm,
        generation=run.generation,
        verdict=verdict,
        reason=reason,
        tests=tuple(tests),
        lost_boxes=lost_boxes,
    )


def _outcome(loss: float, high: float, p_value: float, margin: float, alpha: float) -> Outcome:
    if p_value <= alpha and loss >= margin:
        return "loss"
    return "no loss" if high < margin else "open"


def _map_test(base: Audit, run: Audit, interval: statistics.Interval | None, p_value: float, gate: Gate) -> Test:
    before, after = base.map50_95.value, run.map50_95.value
    loss = None if before is None or after is None else before - after
    outcome: Outcome = "open"
    settle = None
    if loss is not None and interval is not None:
        outcome = _outcome(loss, interval.high, p_value, gate.map_margin, gate.alpha)
        if outcome == "open" and not math.isclose(loss, gate.map_margin):
            # The interval narrows with the square root of the images; it has to reach from the loss to the margin.
            reach = interval.high - loss if loss < gate.map_margin else loss - interval.low
            needed = run.test_images * (reach / abs(gate.map_margin - loss)) ** 2
            settle = max(math.ceil(needed), run.test_images + 1) if needed < 100 * run.test_images else None
    return Test(
        figure="mAP50-95", base=before, run=after, loss=loss, low=interval.low if interval else None,
        high=interval.high if interval else None, p_value=p_value, margin=gate.map_margin, lost=None, gained=None,
        samples=run.test_images, outcome=outcome, settle=settle,
    )  # fmt: skip


def _recall_test(figure: str, pair: Paired, p_value: float | None, factor: float, gate: Gate) -> Test:
    support = len(pair.base)
    if support == 0 or p_value is None:
        return Test(
            figure=figure, base=None, run=None, loss=None, low=None, high=None, p_value=None, margin=gate.recall_margin,
            lost=0, gained=0, samples=0, outcome="open", settle=None,
        )  # fmt: skip
    interval = statistics.paired_loss_interval(pair.lost, pair.gained, support, confidence=1 - 2 * gate.alpha)
    loss = (pair.lost - pair.gained) / support
    outcome = _outcome(loss, interval.high, p_value, gate.recall_margin, gate.alpha)
    blind = bool(pair.base.mean() < gate.recall_margin)  # the base finds so few that no loss of the margin can happen
    if outcome == "no loss" and blind:
        outcome = "open"  # nothing is ruled out
    settle = None
    if outcome == "open" and not blind:
        settle = statistics.boxes_to_settle(
            pair.lost, pair.gained, support, margin=gate.recall_margin, alpha=gate.alpha, factor=max(factor, 1.0)
        )
    return Test(
        figure=figure, base=float(pair.base.mean()), run=float(pair.run.mean()), loss=loss, low=interval.low,
        high=interval.high, p_value=p_value, margin=gate.recall_margin, lost=pair.lost, gained=pair.gained,
        samples=support, outcome=outcome, settle=settle,
    )  # fmt: skip


def _conclude(tests: Sequence[Test], run: Audit, gate: Gate) -> tuple[Verdict, str]:
    losses = [_say_loss(test) for test in tests if test.outcome == "loss"]
    copies = run.duplicates
    if copies is not None and copies.images and copies.near / copies.images > gate.max_duplicates:
        losses.append(
            f"{copies.near} of {copies.images} synthetic images repeat another one "
            f"({copies.near / copies.images:.0%}, limit {gate.max_duplicates:.0%})"
        )
    if losses:
        return Verdict.COLLAPSING, "; ".join(losses) + "."
    still_open = [test for test in tests if test.outcome == "open"]
    if still_open:
        return Verdict.INCONCLUSIVE, "; ".join(_say_open(test) for test in still_open) + "."
    worst = max((test for test in tests[1:]), key=lambda test: test.high or 0.0, default=None)
    recall = "" if worst is None else (
        f"no rare class lost {worst.margin:g} of recall (largest possible loss: {worst.high:.3f}, {worst.figure}), and "
    )  # fmt: skip
    return Verdict.HEALTHY, f"{recall}mAP50-95 lost at most {tests[0].high:.3f} (margin {tests[0].margin:g})."


def _say_loss(test: Test) -> str:
    boxes = "" if test.lost is None else f", {test.lost} of {test.samples} boxes lost and {test.gained} gained"
    return f"{test.figure} fell from {test.base:.3f} to {test.run:.3f} (p = {test.p_value:.2g}{boxes})"


def _say_open(test: Test) -> str:
    if test.base is None or test.loss is None or test.high is None or test.low is None:
        return f"{test.figure} cannot be measured: there is no test box of it; verify test images that have some"
    if test.lost is not None and test.base < test.margin:
        return f"{test.figure} is only {test.base:.3f} in the base run: there is no loss of {test.margin:g} to be seen"
    what = "boxes" if test.lost is not None else "images"
    settle = f"{test.settle} test {what} would settle it (now {test.samples})" if test.settle else (
        "the loss is too near the margin for any number of test " + what
    )  # fmt: skip
    return (
        f"a loss of {test.margin:g} in {test.figure} is neither shown nor ruled out: {test.loss:.3f} "
        f"({test.low:.3f} to {test.high:.3f}); {settle}"
    )


def worst(verdicts: Sequence[Verdict]) -> Verdict:
    """The worst of some verdicts; INCONCLUSIVE if there is none."""
    order = (Verdict.COLLAPSING, Verdict.INCONCLUSIVE, Verdict.HEALTHY)
    return min(verdicts, key=order.index, default=Verdict.INCONCLUSIVE)


def exit_code(verdict: Verdict) -> int:
    """Exit code of a verdict: 0 healthy, 3 collapsing, 4 inconclusive; 1 is left to errors."""
    match verdict:
        case Verdict.HEALTHY:
            return 0
        case Verdict.COLLAPSING:
            return 3
        case Verdict.INCONCLUSIVE:
            return 4
        case _:
            assert_never(verdict)


def write(path: Path, judgement: Judgement) -> None:
    """Write a judgement as JSON."""
    files.write_json(path, asdict(judgement))


def read(path: Path) -> Judgement:
    """Read a judgement.

    Raises:
        UserError: it is missing or of another version.
    """
    try:
        value = json.loads(path.read_text())
        return Judgement(
            **{
                **value,
                "verdict": Verdict(value["verdict"]),
                "tests": tuple(Test(**test) for test in value["tests"]),
                "lost_boxes": {name: tuple(boxes) for name, boxes in value["lost_boxes"].items()},
            }
        )
    except FileNotFoundError:
        raise UserError(f"{path} is missing. Run `uv run dvc repro` to make it.") from None
    except (TypeError, KeyError, AttributeError, ValueError) as error:
        raise UserError(f"{path} is not a verdict of this version ({error}). Run `uv run dvc repro -f`.") from None
