"""What a night tells: the verdict first, the two figures that matter, where the report is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.core import paths
from pipeline.core.audits import Audit
from pipeline.core.judgements import Judgement, Verdict
from pipeline.core.night_journal import Night
from pipeline.core.report_numbers import ABSENT, listed, shown

REST_ADVICE = "If you have looked at it and it may go on: `uv run tailwatch promote RUN --reviewer YOU --reason WHY`."


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """A message: its first line, and the rest."""

    title: str
    body: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ArmNews:
    """One arm as a message has it: its newest run beside the base, and whether it rests."""

    judgement: Judgement
    audit: Audit
    base: Audit
    rests: bool


def sentence(news: ArmNews) -> str:
    """An arm in a line: verdict, mAP50-95 and the recall of the rare class that lost most, each beside the base's."""
    name, verdict = news.judgement.run, news.judgement.verdict
    rare = _worst(news)
    figures = f"mAP50-95 {shown(news.audit.map50_95.value)} (base {shown(news.base.map50_95.value)}){rare}"
    return f"{name} {verdict}: {figures}"


def _worst(news: ArmNews) -> str:
    """The rare class that lost the most recall; nothing where no class is rare."""
    before = {one.name: one.recall.value for one in news.base.classes}
    losses = [
        (before[one.name] - one.recall.value, one)  # type: ignore[operator]  # both are there
        for one in news.audit.rare
        if one.recall.value is not None and before.get(one.name) is not None
    ]
    if not losses:
        return ""
    _, one = max(losses, key=lambda each: each[0])
    return f", recall of {one.name} {shown(one.recall.value)} (base {shown(before[one.name])})"


def verdict(news: Sequence[ArmNews], night: Night, *, project: str) -> Told:
    """The message of a night that has come to its verdicts.

    Args:
        news: each active arm.
        night: as far as it is known.
        project: name of the project's folder.
    """
    order = [Verdict.COLLAPSING, Verdict.INCONCLUSIVE, Verdict.HEALTHY]
    ranked = sorted(news, key=lambda one: order.index(one.judgement.verdict))
    worst = [one.judgement.run for one in ranked if one.judgement.verdict is ranked[0].judgement.verdict]
    title = f"{ranked[0].judgement.verdict}: {listed(worst)} ({project}, night {night.number})"
    lines = [sentence(one) for one in ranked]
    lines += [one.judgement.reason for one in ranked if one.judgement.verdict is not Verdict.HEALTHY]
    resting = [one.judgement.arm for one in ranked if one.rests]
    if resting:
        verb = "rests" if len(resting) == 1 else "rest"
        lines.append(f"{listed(resting)} {verb} until a person has looked. {REST_ADVICE}")
    return Told(title=title, body="\n".join([*lines, *_rest(night), f"Report: {paths.REPORT_PAGE}"]))


def without_verdict(reason: str, night: Night, *, project: str) -> Told:
    """The message of a night that ended before its verdicts.

    Args:
        reason: why, in a sentence or two.
        night: as far as it is known.
        project: name of the project's folder.
    """
    word = {"stopped": "STOPPED", "inconclusive": "INCONCLUSIVE"}.get(night.outcome or "", "FAILED")
    lines = [reason, *_rest(night)]
    if night.folder.exists():
        lines.append(f"Log: {night.log}")
    return Told(title=f"{word}: night {night.number} ({project})", body="\n".join(lines))


def _rest(night: Night) -> list[str]:
    lines = [f"Early warning: {text}" for text in night.warnings]
    return lines + [f"Note: {text}" for text in night.notes]


def seconds(duration: float | None) -> str:
    """A duration for people.

    >>> seconds(3.24), seconds(75), seconds(3900), seconds(None) == ABSENT
    ('3.2 s', '1 min 15 s', '1 h 5 min', True)
    """
    if duration is None:
        return ABSENT
    if duration < 10:  # noqa: PLR2004 - tenths say something there
        return f"{duration:.1f} s"
    whole = round(duration)
    if whole < 60:  # noqa: PLR2004 - seconds a minute
        return f"{whole} s"
    if whole < 3600:  # noqa: PLR2004 - seconds an hour
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"
