"""The report in words: verdicts, reasons, captions and what stands in for a picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pipeline.core import paths, reporting
from pipeline.core.audits import Audit
from pipeline.core.history import Record
from pipeline.core.judgements import Judgement, Test, Verdict
from pipeline.core.lost import LostBox
from pipeline.core.manifest import Row
from pipeline.core.pictures import Gallery, Picture
from pipeline.core.report_numbers import ABSENT, counted, listed, night, shown
from pipeline.core.report_page import Badge, Card, Change
from pipeline.core.reporting import ArmRecord, History, Line, RunRecord
from pipeline.core.sections import Arm, Gate, Schedule

_SCHEDULES: Mapping[Schedule, str] = {
    "confirm": "in a second training too",
    "obrien-fleming": "at a level that grows over the nights",
    "uniform": "at a level that is the same every night",
    "none": "every night held by itself",
}
_NAMED = 3  # arms or figures that a sentence names before it counts
_WORDS: Mapping[Verdict | None, tuple[str, str, str]] = {
    Verdict.HEALTHY: ("healthy", "✓", "Healthy"),
    Verdict.COLLAPSING: ("collapsing", "✕", "Collapsing"),
    Verdict.INCONCLUSIVE: ("inconclusive", "?", "Inconclusive"),
    None: ("base", "○", "No verdict"),
}


_STRIP = 60  # newest runs of an arm in the strip of verdicts


def badge(run: RunRecord | Record) -> Badge:
    """The verdict on a run."""
    tone, symbol, word = _WORDS[run.verdict]
    label = "base" if run.verdict is None else f"generation {run.generation}"
    return Badge(tone=tone, symbol=symbol, word="Base" if run.verdict is None else word, label=label)


def policy(arm: Arm) -> str:
    """An arm's policy and ratio in words.

    >>> policy(Arm(policy="replace", ratio=1.0))
    'Synthetic images only, those of the newest generation.'
    """
    which = {
        "replace": "those of the newest generation",
        "accumulate": "drawn from the newest generations",
        "accumulate-subsample": "drawn from the newest generations, in a fixed total",
    }[arm.policy]
    if arm.ratio == "pool":
        return f"Real and synthetic images as they come, {which}."
    if arm.ratio == 1:
        return f"Synthetic images only, {which}."
    if arm.ratio == 0:
        return "Real images only."
    return f"{1 - arm.ratio:.0%} real images, {arm.ratio:.0%} synthetic ones, {which}."


def headline(history: History) -> str:
    """One sentence for the whole page: which arms are healthy, which are not."""
    by_verdict: dict[Verdict, list[str]] = {}
    for arm in history.arms:
        if arm.newest and arm.newest.verdict:
            by_verdict.setdefault(arm.newest.verdict, []).append(arm.name)
    parts = []
    for verdict in (Verdict.COLLAPSING, Verdict.INCONCLUSIVE, Verdict.HEALTHY):
        names = by_verdict.get(verdict, [])
        if names:
            subject = listed(names) if len(names) <= _NAMED else f"{len(names)} arms"
            parts.append(f"{subject} {'is' if len(names) == 1 else 'are'} {verdict.lower()}")
    return ("; ".join(parts) or "No generation was made yet") + "."


def card(history: History, arm: ArmRecord) -> Card:
    """The verdict on an arm."""
    newest, judgement = arm.newest, arm.newest.judgement if arm.newest else None
    tone, symbol, word = _WORDS[judgement.verdict if judgement else None]
    last = arm.line[-1].audit
    first = history.base.audit
    both = (
        ("Rare recall", reporting.rare_recall(first), reporting.rare_recall(last)),
        ("mAP50-95", first.map50_95, last.map50_95),
    )
    generations = "generation" if newest and newest.generation == 1 else "generations"
    return Card(
        arm=arm.name,
        number=arm.number,
        badge=Badge(tone=tone, symbol=symbol, word=word, label=arm.name),
        policy=policy(arm.arm),
        since=f"after {newest.generation} {generations}" if newest else "no run yet",
        night=night(judgement).capitalize() if judgement else "",
        plain=plain(judgement) if judgement else "`uv run tailwatch nightly` makes its first generation.",
        reason=judgement.reason if judgement else "",
        changes=tuple(
            Change(name=name, before=shown(before.value, 2), after=shown(after.value, 2))
            for name, before, after in both
        ),
        strip=(*(badge(run) for run in arm.retired), *(badge(run) for run in arm.runs))[-_STRIP:],
    )


def compared(test: Test) -> str:
    """The figure of a test; with the baseline where that is not the base run."""
    return test.figure if test.baseline == paths.BASE else f"{test.figure} (against {test.baseline})"


def plain(judgement: Judgement) -> str:
    """The reason of a verdict in a sentence that needs no statistics."""
    if judgement.verdict is Verdict.HEALTHY:
        return f"A loss that matters is ruled out, {_tested(judgement.tests)}."
    wanted = "loss" if judgement.verdict is Verdict.COLLAPSING else "open"
    tests = _once(
        sorted(
            (one for one in judgement.tests if one.outcome == wanted and one.base is not None and one.run is not None),
            key=lambda one: (one.baseline != paths.BASE, -(one.loss or 0.0)),
        )
    )
    if not tests:
        return judgement.reason
    named = listed([f"{compared(test)} {test.base:.2f} → {test.run:.2f}" for test in tests[:_NAMED]])
    more = f", and {len(tests) - _NAMED} more" if len(tests) > _NAMED else ""
    if wanted == "loss":
        return f"Lost more than chance explains: {named}{more}."
    if any((test.loss or 0.0) >= test.margin for test in tests):
        return f"A loss that matters is neither shown nor ruled out: {named}{more}."
    return f"Too few test boxes to rule out a loss that matters: {named}{more}."


def _once(tests: Sequence[Test]) -> list[Test]:
    """The first test of each figure."""
    return list({test.figure: test for test in reversed(tests)}.values())[::-1]


def _tested(tests: Sequence[Test]) -> str:
    recalls = [test for test in tests if test.lost is not None]
    return f"in mAP50-95 and in the recall of {'every rare class' if recalls else 'no class, for none is rare'}"


def rules(gate: Gate, audit: Audit) -> tuple[tuple[str, str], ...]:
    """How the page is to be read: terms and what they mean."""
    margins = f"{gate.recall_margin:g} in the recall of a rare class, {gate.map_margin:g} in mAP50-95"
    held = (
        f"Every run is held against the base run, and against the best run so far, on the same {audit.test_images:,} "
        "real test images, which no run is trained on. Recall: tests over boxes and over images, whichever is the more "
        "careful. mAP: paired bootstrap over the images. Several tests: Holm's correction. The chance that a pipeline "
        f"that loses nothing is ever called collapsing, in {counted(gate.horizon, 'night')}, is meant to be at most "
        f"{gate.alpha:.0%}; docs/verdict.md says how, and docs/calibration.md what was measured."
    )
    recall = (
        f"Labelled boxes that were found, at IoU {audit.iou:g} and the confidence that is best on the validation "
        "split. Its interval is exact (Clopper-Pearson, 95 %)."
    )
    rare = (
        "A class with a small share of the verified training boxes, or one that params.yaml names. Only rare classes "
        "and mAP50-95 decide the verdict."
    )
    named = f"; or there is an early warning {listed(gate.fail_on)}" if gate.fail_on else ""
    shown_loss = (
        f"At least one loss is more than chance explains ({_SCHEDULES[gate.schedule]}) and as large as the margin; or "
        "a figure falls steadily over the generations; or more than "
        f"{gate.max_duplicates:.0%} of the synthetic images repeat one another{named}."
    )
    return (
        ("A loss that matters", f"At least the margin: {margins}."),
        ("Healthy", "A loss that matters is ruled out, in every rare class and in mAP50-95."),
        ("Collapsing", shown_loss),
        ("Inconclusive", "Neither; the reason says how many test boxes would settle it."),
        ("The comparison", held),
        ("Recall", recall),
        ("Rare", rare),
        ("Near", "Nearer to one another, in a fixed embedding, than almost all real training items are to theirs."),
        ("Lineage depth", "0 for a real image; else one more than the deepest image that it was made from."),
        ("Intervals", "95 %, unless the text says otherwise; n is the number of samples."),
        (ABSENT, "Cannot be computed; the reason stands beside it. It never means 0."),
    )


def class_note(history: History, name: str) -> str:
    """What the chart of one class rests on."""
    support = reporting.class_figures(history.base.audit, name).support
    return f"recall, {support} test boxes, 95 % Clopper-Pearson" if support else f"{ABSENT} no test box"


def subtitle(history: History) -> str:
    """How much is reported."""
    runs = sum(len(arm.runs) for arm in history.arms)
    retired = sum(len(arm.retired) for arm in history.arms)
    beside = f" ({retired} more are retired)" if retired else ""
    return (
        f"{counted(len(history.arms), 'arm')}, {counted(runs, 'run')}{beside} and the base, "
        f"{history.base.audit.test_images:,} real test images"
    )


def left_out(number: int, most: int, what: str, where: str) -> str:
    """What is said when there are more classes than the page shows; empty where it shows all."""
    if number <= most:
        return ""
    return (
        f"Of {number} {what}, the {most} with the largest loss of recall have {where}; reports/plots/runs.json has all."
    )


def rare_note(history: History) -> str:
    """What the mean over rare classes is a mean of."""
    rare = [name for name in history.rare if reporting.class_figures(history.base.audit, name).support]
    if not rare:
        return f"{ABSENT} {reporting.rare_recall(history.base.audit).reason}"
    return f"mean of {listed(rare)}" if len(rare) <= 2 * _NAMED else f"mean of {len(rare)} classes"


def chart_alt(title: str, lines: Sequence[Line], digits: int = 2) -> str:
    """A chart in words: the first and the last value of each arm."""
    parts = []
    for line in lines:
        values = [shown(point.figure.value, digits) for point in line.points]
        parts.append(f"{line.arm} from {values[0]} to {values[-1]} in generation {line.points[-1].generation}")
    return f"{title}: {'; '.join(parts)}"


def page_alt(row: Row, classes: Sequence[str]) -> str:
    """A page in words: where it is from and what is labelled on it."""
    boxes = ", ".join(f"{number} {classes[class_id]}" for class_id, number in row.boxes)
    return f"{row.origin} image {row.name}: {boxes or 'no box'}"


def gallery(run: RunRecord, pictures: Sequence[Picture], *, note: str, missing: str, newest: bool = False) -> Gallery:
    """A row of pictures of a run."""
    title = "Real images" if run.verdict is None else f"{run.audit.arm}, generation {run.generation}"
    return Gallery(
        arm=run.audit.arm, title=title, note=note, newest=newest, generation=run.generation, pictures=tuple(pictures),
        missing=missing,
    )  # fmt: skip


def learned_note(run: RunRecord) -> str:
    """What a run trained on, and which classes it never saw."""
    audit = run.audit
    if run.verdict is None:
        return f"what the base run learned from: {audit.real_images} real images"
    absent = reporting.absent_classes(audit)
    gone = f"; no box of {listed(absent)}" if absent else ""
    return f"trained on {audit.real_images} real and {audit.synthetic_images} synthetic images{gone}"


def lost_caption(one: LostBox, image: str, classes: Sequence[str]) -> tuple[str, ...]:
    """What was lost, what the run sees there, and where."""
    instead = "sees nothing" if one.instead is None else f"sees {classes[one.instead[0]]} ({one.instead[1]:.2f})"
    return (classes[one.class_id], instead, image)


def lost_note(lost: Mapping[str, Sequence[str]], shown_boxes: int) -> str:
    """How many boxes of which class were lost."""
    counts = ", ".join(f"{len(boxes)} {name}" for name, boxes in lost.items() if boxes)
    if not counts:
        return ""
    total = sum(len(boxes) for boxes in lost.values())
    return f"lost {counts}" + (f"; {shown_boxes} of {total} shown" if shown_boxes < total else "")


def floor_name(margin: float) -> str:
    """What stands beside the line at the base run's value less the margin."""
    return f"base \N{MINUS SIGN} {margin:g}"


def pictures_note(history: History, most: int) -> str:
    """What is said when older runs have no pictures; empty where all have."""
    longest = max((len(arm.runs) for arm in history.arms), default=0)
    return f"Pictures are of the newest {most} runs of each arm." if longest > most else ""
