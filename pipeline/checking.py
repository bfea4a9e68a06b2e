"""The verdicts of all runs, as text, JSON and an exit code."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.core import audits, history, job_annotations, judgements, params, paths, reporting, verdicts
from pipeline.core.audits import Audit
from pipeline.core.errors import UserError
from pipeline.core.history import Record
from pipeline.core.judgements import Judgement, Test, Verdict
from pipeline.core.paths import RunPaths
from pipeline.core.report_numbers import night
from pipeline.core.schema import suggestion

_SHOWN = 30  # newest retired runs of an arm in the text


@dataclass(frozen=True, slots=True, kw_only=True)
class ArmSummary:
    """The runs of one arm, oldest first; the newest one's verdict is the arm's. Retired runs are its history."""

    arm: str
    runs: tuple[tuple[Judgement, Audit], ...]
    retired: tuple[Record, ...] = ()

    @property
    def verdict(self) -> Verdict:
        """Verdict of the newest run."""
        return self.runs[-1][0].verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """The base run and every arm."""

    base: Audit
    arms: Mapping[str, ArmSummary]


def collect(arm: str | None = None) -> Summary:
    """Read all verdicts, or those of one arm.

    Raises:
        UserError: there is no such arm, or a verdict is not there yet.
    """
    settings = params.load()
    if arm is not None and arm not in settings.arms:
        raise UserError(f"no arm {arm!r}{suggestion(arm, settings.arms)}; there are: {', '.join(settings.arms)}.")
    base = audits.read(RunPaths(paths.BASE).figures)
    retired = history.retired(settings.runs)
    arms = {}
    for name in [arm] if arm else list(settings.arms):
        runs = sorted(
            (run for run, item in settings.runs.items() if item.arm == name),
            key=lambda run: settings.runs[run].generation,
        )
        if runs:
            both = tuple((judgements.read(RunPaths(run).gate), audits.read(RunPaths(run).figures)) for run in runs)
            past = tuple(one for one in retired.values() if one.arm == name)
            arms[name] = ArmSummary(arm=name, runs=both, retired=past)
    if not arms:
        raise UserError("params.yaml has no run" + (f" of arm {arm!r}" if arm else "") + "; add one under `runs`.")
    return Summary(base=base, arms=arms)


def exit_code(summary: Summary) -> int:
    """0 healthy, 3 collapsing, 4 inconclusive: the worst arm counts."""
    return verdicts.exit_code(verdicts.worst([arm.verdict for arm in summary.arms.values()]))


def _share(value: float | None) -> str:
    return "  -  " if value is None else f"{value:.3f}"


def as_text(summary: Summary) -> str:
    """The verdicts for people: arms first, then a line a run."""
    lines = []
    for arm in summary.arms.values():
        newest = arm.runs[-1][0]
        lines.append(f"{arm.arm}: {arm.verdict}, {night(newest)}")
        lines.append(f"  {newest.reason}")
        lines.append(f"  diagnosis: {', '.join(_supported(newest)) or 'nothing supported'}")
        names = dict.fromkeys(warning.name for warning in newest.warnings)
        lines.append(f"  early warnings: {len(newest.warnings)}" + (f" ({', '.join(names)})" if names else ""))
    lines.append("")
    rare = [one.name for one in summary.base.rare]
    shown = [audit.run for arm in summary.arms.values() for _, audit in arm.runs]
    shown += [one.run for arm in summary.arms.values() for one in arm.retired[-_SHOWN:]]
    width = max(len(name) for name in shown)
    recalls = "  ".join(f"{name:>7}" for name in rare)
    lines.append(f"{'run':<{width}}  {'verdict':<12}  mAP50-95  mAP50   recall: {recalls}")
    lines.append(_row("", summary.base, rare, width))
    for arm in summary.arms.values():
        hidden = len(arm.retired) - _SHOWN
        if hidden > 0:
            lines.append(f"… {hidden} older retired runs of {arm.arm}; --json has all")
        lines += [_row(str(one.verdict), one, rare, width) + "  retired" for one in arm.retired[-_SHOWN:]]
        lines += [_row(str(one.verdict), audit, rare, width) for one, audit in arm.runs]
    if not rare:
        lines.append("No class is rare; see audit.rare_share and audit.rare_classes in params.yaml.")
    return "\n".join(lines)


def _row(verdict: str, measured: Audit | Record, rare: Sequence[str], width: int) -> str:
    found = "  ".join(f"{_share(reporting.recall_of(name)(measured).value):>7}" for name in rare)
    figures = f"{_share(measured.map50_95.value):<8}  {_share(measured.map50.value)}"
    return f"{measured.run:<{width}}  {verdict:<12}  {figures}           {found}"


def annotate(summary: Summary) -> str:
    """The verdicts as GitHub's annotations; adds the report's summary to the page of the job that this runs in."""
    page = os.environ.get("GITHUB_STEP_SUMMARY")
    if page:
        job_annotations.add_summary(Path(page))
    newest = [(arm, arm.runs[-1][0]) for arm in summary.arms.values()]
    return job_annotations.lines(
        job_annotations.Spoken(arm=arm.arm, run=one.run, verdict=one.verdict, reason=one.reason) for arm, one in newest
    )


def _supported(judgement: Judgement) -> list[str]:
    return [one.name for one in judgement.diagnosis if one.supported]


def _figures(audit: Audit | Record) -> dict[str, Any]:
    return {
        "map50_95": audit.map50_95.value,
        "map50": audit.map50.value,
        "rare_classes": [one.name for one in audit.rare],
        "classes": {one.name: {"recall": one.recall.value, "support": one.support} for one in audit.classes},
    }


def _gate(judgement: Judgement) -> dict[str, Any]:
    """What the gate says of a run, with its tests."""
    return {
        "night": judgement.generation,
        "horizon": judgement.horizon,
        "schedule": judgement.schedule,
        "seeds": list(judgement.seeds),
        "diagnosis": _supported(judgement),
        "warnings": [{"name": one.name, "text": one.text} for one in judgement.warnings],
        "tests": [_test(test) for test in judgement.tests],
        "falling": [trend.figure for trend in judgement.trends if trend.falling],
        "notes": list(judgement.notes),
    }


def _test(test: Test) -> dict[str, Any]:
    fields = ("figure", "baseline", "base", "run", "loss", "low", "high", "p_value", "level", "confirmed", "margin",
              "outcome", "settle")  # fmt: skip
    return {name: getattr(test, name) for name in fields}


def as_json(summary: Summary) -> str:
    """The verdicts for programs."""
    arms = {
        arm.arm: {
            "verdict": arm.verdict,
            "reason": arm.runs[-1][0].reason,
            "runs": {
                one.run: {
                    "verdict": one.verdict,
                    "reason": one.reason,
                    "generation": one.generation,
                    **_gate(one),
                    **_figures(audit),
                }
                for one, audit in arm.runs
            },
            "retired": {
                one.run: {
                    "verdict": one.verdict,
                    "reason": one.reason,
                    "generation": one.generation,
                    "diagnosis": list(one.diagnosis),
                    "warnings": list(one.warnings),
                    **_figures(one),
                }
                for one in arm.retired
            },
        }
        for arm in summary.arms.values()
    }
    worst = verdicts.worst([arm.verdict for arm in summary.arms.values()])
    return json.dumps({"verdict": worst, "base": _figures(summary.base), "arms": arms}, indent=2, ensure_ascii=False)
