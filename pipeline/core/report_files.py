"""The report for machines and pull requests: metrics, tables of plots, a summary in Markdown."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Mapping, Sequence

import pandas as pd

from pipeline.core import reporting
from pipeline.core.figures import Figure
from pipeline.core.judgements import Verdict
from pipeline.core.report_numbers import ABSENT, counted, listed, shown
from pipeline.core.reporting import ArmRecord, History, Line, Measured, RunRecord

SYMBOLS: Mapping[Verdict, str] = {
    Verdict.HEALTHY: "✅",
    Verdict.COLLAPSING: "❌",
    Verdict.INCONCLUSIVE: "❔",
}
_DIGITS = 6
_NAMED = 4  # absent classes that a summary names before it counts


RUNS = "runs.json"  # all figures of every run


def metrics(history: History) -> dict[str, dict[str, object]]:
    """The few figures by which experiments are told apart: of the base run, and of each arm's newest run.

    They are the columns of ``dvc exp show``: every further one makes the others harder to find. A figure that is absent
    has no key.
    """
    return {"base run": _telling(history.base)} | {arm.name: _telling(run) for arm, run in history.newest}


def _telling(run: RunRecord) -> dict[str, object]:
    losses = [test.loss for test in run.tests if test.loss is not None and test.figure.startswith("recall of ")]
    figures = {
        "map50_95": run.audit.map50_95.value,
        "rare_recall": reporting.rare_recall(run.audit).value,
        "largest_loss": max(losses, default=None),
    }
    known: dict[str, object] = {name: round(value, _DIGITS) for name, value in figures.items() if value is not None}
    return known if run.verdict is None else {"verdict": str(run.verdict), "generation": run.generation} | known


def figures(history: History) -> dict[str, dict[str, object]]:
    """The figures of every run, by its name; a figure that is absent has no key."""
    return {run.name: _figures(run) for run in history.runs}


def _figures(run: RunRecord) -> dict[str, object]:
    audit = run.audit
    figures: dict[str, object] = {} if run.verdict is None else {"verdict": str(run.verdict)}
    for name, figure in (
        ("map50_95", audit.map50_95),
        ("map50", audit.map50),
        ("rare_recall", reporting.rare_recall(audit)),
    ):
        if figure.value is not None:
            figures[name] = round(figure.value, _DIGITS)
    recalls = {one.name: one.recall.value for one in audit.classes}
    figures["recall"] = {name: round(value, _DIGITS) for name, value in recalls.items() if value is not None}
    further = {name: figure.value for name, figure in _further(run).items()}
    figures |= {name: round(value, _DIGITS) for name, value in further.items() if value is not None}
    if run.judgement:
        figures["early_warnings"] = len(run.judgement.warnings)
    return figures


def _further(run: RunRecord) -> dict[str, Figure]:
    """Figures beside accuracy: of the detector, then of the synthetic images."""
    detection, everything, objects = run.audit.detection, run.diversity("all"), run.duplication("object")
    figures = {
        "calibration_error": detection.calibration_error,
        "false_positives_an_image": detection.false_positives,
        "verified_share": run.audit.freshness.share,
    }
    if objects:
        figures |= {"near_duplicate_objects": objects.near_share, "copied_objects": objects.copy_share}
    if everything:
        figures |= {"coverage": everything.coverage, "lost_tail": everything.lost_tail}
    return figures


def plots(history: History) -> dict[str, str]:
    """Tables for ``dvc plots``, by file name; in each, every arm starts at the base run. Absent figures are empty."""
    per_class = [
        {"class": name, **row} for name in history.rare for row in _rows(history, reporting.recall_of(name), "recall")
    ]
    shares: list[dict[str, object]] = [
        {"generation": run.generation, "arm": arm.name, "class": one.name, "boxes": one.boxes, "share": one.share}
        for arm in history.arms
        for run, found in reporting.measured(arm)
        for one in reporting.class_shares(found)
    ]
    interval = ["low", "high"]
    return {
        "mean_rare_recall.csv": _csv(_rows(history, reporting.rare_recall, "recall"), ["generation", "arm", "recall"]),
        "rare_recall.csv": _csv(per_class, ["generation", "arm", "class", "recall", *interval]),
        "map.csv": _csv(_rows(history, map50_95, "map50_95"), ["generation", "arm", "map50_95", *interval]),
        "class_shares.csv": _csv(shares, ["generation", "arm", "class", "share", "boxes"]),
        "lost_tails.csv": _csv(_lost_tails(history), ["generation", "arm", "class", "lost_tail", *interval]),
        "near_duplicates.csv": _csv(
            _near_duplicates(history), ["generation", "arm", "level", "share", *interval, "expected"]
        ),
    }


def _lost_tails(history: History) -> list[dict[str, object]]:
    """Of all objects (``all``) and of each class; from generation 1 on, for the base has no synthetic object."""
    return [
        {"class": name, **row}
        for name in ("all", *history.classes)
        for row in _line_rows(reporting.run_lines(history, reporting.lost_tail_of(name)), "lost_tail")
    ]


def _near_duplicates(history: History) -> list[dict[str, object]]:
    return [
        {
            "generation": run.generation,
            "arm": arm.name,
            "level": one.level,
            "share": one.near_share.value,
            "low": one.near_share.low,
            "high": one.near_share.high,
            "expected": one.expected.value,
        }
        for arm in history.arms
        for run in arm.line
        for one in run.audit.duplication
    ]


def map50_95(audit: Measured) -> Figure:
    """The mAP50-95 of a run."""
    return audit.map50_95


def _rows(history: History, figure: Callable[[Measured], Figure], name: str) -> list[dict[str, object]]:
    return _line_rows(reporting.lines(history, figure), name)


def _line_rows(lines: Sequence[Line], name: str) -> list[dict[str, object]]:
    return [
        {
            "generation": point.generation,
            "arm": line.arm,
            name: point.figure.value,
            "low": point.figure.low,
            "high": point.figure.high,
        }
        for line in lines
        for point in line.points
    ]


def _csv(rows: list[dict[str, object]], columns: list[str]) -> str:
    file = io.StringIO()
    pd.DataFrame(rows, columns=columns).to_csv(file, index=False, float_format=f"%.{_DIGITS}f", lineterminator="\n")
    return file.getvalue()


def markdown(text: str) -> str:
    r"""Text that shows as it is in GitHub's Markdown, in a table too: no markup, no mention, no new line.

    >>> print(markdown("a|b *c* <script>"))
    a\|b \*c\* &lt;script&gt;
    """
    plain = " ".join(text.split()).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    plain = re.sub(r"([\\`*_{}\[\]()|~!])", r"\\\1", plain)
    return re.sub(r"[@#](?=\w)|:(?=//)", "\\g<0>&#8203;", plain)


def summary(history: History) -> str:
    """The report in Markdown for a pull request: the verdicts, then a table of the runs."""
    parts = ["# Tailwatch", "", *(line for arm in history.arms for line in _verdict_lines(arm)), ""]
    head = ("Run", "Verdict", "mAP50-95", "Recall of rare classes (mean)", "Largest loss of recall",
            "Images (real + synthetic)", "Classes without a training box")  # fmt: skip
    parts += [_row(head), _row(["---"] * len(head))]
    parts += [_row(_cells(run)) for run in history.runs]
    parts += _retired(history)
    parts += ["", f"“{ABSENT}” is a figure that cannot be computed. The whole report is `reports/index.html`."]
    return "\n".join(parts) + "\n"


def _retired(history: History) -> list[str]:
    """Retired runs in a fold: there may be hundreds."""
    runs = [run for arm in history.arms for run in reversed(arm.retired)]
    if not runs:
        return []
    rows = [
        _row([markdown(run.name), f"{SYMBOLS[run.verdict]} {run.verdict}", shown(run.map50_95.value),
              shown(reporting.rare_recall(run).value), f"{run.real_images} + {run.synthetic_images}"])
        for run in runs
    ]  # fmt: skip
    head = ("Run", "Verdict", "mAP50-95", "Recall of rare classes (mean)", "Images (real + synthetic)")
    title = f"<details><summary>{counted(len(runs), 'retired run')}</summary>"
    return ["", title, "", _row(head), _row(["---"] * len(head)), *rows, "", "</details>"]


def _row(cells: tuple[str, ...] | list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _verdict_lines(arm: ArmRecord) -> list[str]:
    newest = arm.newest
    if newest is None or newest.judgement is None:
        return [f"- **{markdown(arm.name)}**: no run yet."]
    one = newest.judgement
    supported = [f"{finding.name}. {finding.advice}" for finding in one.diagnosis if finding.supported]
    warned = sorted({warning.name for warning in one.warnings})
    verdict = f"- {SYMBOLS[one.verdict]} **{markdown(arm.name)}: {one.verdict}** in generation {newest.generation}."
    return [
        f"{verdict} {markdown(one.reason)}",
        *(f"  - Diagnosis: {markdown(text)}" for text in supported or ["the evidence supports none."]),
        f"  - {counted(len(one.warnings), 'early warning')}{markdown(': ' + listed(warned)) if warned else ''}.",
    ]


def _cells(run: RunRecord) -> list[str]:
    tests = [test for test in run.tests if test.loss is not None and test.figure.startswith("recall of ")]
    worst = max(tests, key=lambda test: test.loss or 0.0, default=None)
    largest = ABSENT if worst is None or worst.base is None or worst.run is None else (
        f"{markdown(worst.figure.removeprefix('recall of '))}: {worst.base:.3f} → {worst.run:.3f}"
    )  # fmt: skip
    absent = reporting.absent_classes(run.audit)
    named = ", ".join(markdown(name) for name in absent[:_NAMED])
    more = f" and {len(absent) - _NAMED} more" if len(absent) > _NAMED else ""
    return [
        markdown(run.name),
        f"{SYMBOLS[run.verdict]} {run.verdict}" if run.verdict else "base",
        shown(run.audit.map50_95.value),
        shown(reporting.rare_recall(run.audit).value),
        largest,
        f"{run.audit.real_images} + {run.audit.synthetic_images}",
        named + more or "none",
    ]
