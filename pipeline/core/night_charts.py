"""A line of nights in a terminal: what the gate said of each, and how the recall of rare classes went."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.core.judgements import Verdict

_LEAST = 20  # nights that are shown in the narrowest terminal
_LABEL = "  {:<12}"
_MARKS = {
    Verdict.HEALTHY: "\N{BLACK CIRCLE}",
    Verdict.INCONCLUSIVE: "\N{WHITE CIRCLE}",
    Verdict.COLLAPSING: "\N{MULTIPLICATION X}",
}
_UNFINISHED = "\N{MIDDLE DOT}"
_BARS = "\u2581\u2582\u2583\u2584\u2585\u2586\u2587\u2588"  # lower blocks, one to eight eighths
LEGEND = "\N{BLACK CIRCLE} healthy  \N{WHITE CIRCLE} inconclusive  \N{MULTIPLICATION X} collapsing  rare recall: 0 to 1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """One night of an arm: the verdict, None where there is none yet, and the mean recall of its rare classes."""

    verdict: Verdict | None
    recall: float | None


def chart(marks: Sequence[Mark], *, width: int) -> list[str]:
    """The verdicts and the recalls of an arm as two lines, the newest night at the right; the oldest are cut off.

    >>> chart([Mark(verdict=Verdict.HEALTHY, recall=1.0), Mark(verdict=None, recall=0.0)], width=80)
    ['  verdicts    ●·', '  rare recall █▁']

    Args:
        marks: the oldest first.
        width: columns of the terminal.
    """
    if not marks:
        return []
    room = max(width - len(_LABEL.format("")), _LEAST)
    shown = marks[-room:]
    verdicts = "".join(_UNFINISHED if one.verdict is None else _MARKS[one.verdict] for one in shown)
    return [_LABEL.format("verdicts") + verdicts, _LABEL.format("rare recall") + "".join(map(_bar, shown))]


def _bar(one: Mark) -> str:
    """The recall as a bar; a blank where there is none."""
    if one.recall is None:
        return " "
    return _BARS[min(int(one.recall * len(_BARS)), len(_BARS) - 1)]
