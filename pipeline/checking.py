"""The verdicts of all runs, as text, JSON and an exit code."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pipeline.core import audits, judgements, params, paths, verdicts
from pipeline.core.audits import Audit
from pipeline.core.errors import UserError
from pipeline.core.judgements import Judgement, Test, Verdict
from pipeline.core.paths import RunPaths
from pipeline.core.report_numbers import night
from pipeline.core.schema import suggestion


@dataclass(frozen=True, slots=True, kw_only=True)
class ArmSummary:
    """The runs of one arm, oldest first; the newest one's verdict is the arm's."""

    arm: str
    runs: tuple[tuple[Judgement, Audit], ...]

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
    arms = {}
    for name in [arm] if arm else list(settings.arms):
        runs = sorted(
            (run for run, item in settings.runs.items() if item.arm == name),
            key=lambda run: settings.runs[run].generation,
        )
        if runs:
            both = tuple((judgements.read(RunPaths(run).gate), audits.read(RunPaths(run).figures)) for run in runs)
            arms[name] = ArmSummary(arm=name, runs=both)
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
    width = max(len(audit.run) for arm in summary.arms.values() for _, audit in arm.runs)
    recalls = "  ".join(f"{name:>7}" for name in rare)
    lines.append(f"{'run':<{width}}  {'verdict':<12}  mAP50-95  mAP50   recall: {recalls}")
    rows = [("", summary.base)] + [
        (str(one.verdict), audit) for arm in summary.arms.values() for one, audit in arm.runs
    ]
    for verdict, audit in rows:
        found = "  ".join(f"{_share(one.recall.value):>7}" for one in audit.classes if one.name in rare)
        figures = f"{_share(audit.map50_95.value):<8}  {_share(audit.map50.value)}"
        lines.append(f"{audit.run:<{width}}  {verdict:<12}  {figures}           {found}")
    if not rare:
        lines.append("No class is rare; see audit.rare_share and audit.rare_classes in params.yaml.")
    return "\n".join(lines)


def _supported(judgement: Judgement) -> list[str]:
    return [one.name for one in judgement.diagnosis if one.supported]


def _figures(audit: Audit) -> dict[str, Any]:
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
        }
        for arm in summary.arms.values()
    }
    worst = verdicts.worst([arm.verdict for arm in summary.arms.values()])
    return json.dumps({"verdict": worst, "base": _figures(summary.base), "arms": arms}, indent=2, ensure_ascii=False)
