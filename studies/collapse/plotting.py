"""The study's tables for ``dvc plots``: curves with bands, recall by ratio and generation, class shares."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from pipeline.core import files
from studies.collapse import drawing, summarising
from studies.collapse.summarising import BASE, ClassRow, SummaryRow

FOLDER = "plots"  # in that of the results
CURVES = {"map50_95": "map.csv", "rare_recall": "rare_recall.csv"}
RATIOS, SHARES = "ratios.csv", "class_shares.csv"
_COLUMNS = {"rare_recall": "recall"}
_DIGITS = 6
_Line = Sequence[object]


def tables(classes: Sequence[ClassRow], summary: Sequence[SummaryRow]) -> dict[str, str]:
    """All tables as CSV, by the names of their files; each arm starts at the base, and what is absent is empty."""
    arms = drawing.telling(summary)
    found = {
        name: _csv(["generation", "arm", _COLUMNS.get(figure, figure), "low", "high"], _curves(summary, arms, figure))
        for figure, name in CURVES.items()
    }
    found[RATIOS] = _csv(["generation", "policy", "ratio", "recall"], _ratios(summary))
    found[SHARES] = _csv(["generation", "arm", "class", "share"], _shares(classes, arms))
    return found


def _curves(summary: Sequence[SummaryRow], arms: Mapping[str, str], figure: str) -> Iterator[_Line]:
    for arm, name in arms.items():
        for row in summary:
            if row.figure == figure and row.arm in (BASE, arm):
                yield row.generation, name, row.mean, row.low, row.high


def _ratios(summary: Sequence[SummaryRow]) -> Iterator[_Line]:
    """Recall of the rare classes; of real images alone, which have no policy, for each policy that has other ratios."""
    chosen = drawing.principal(summary)
    policies = dict.fromkeys(row.policy for row in summary if row.arm not in (BASE, "real"))
    for policy in policies:
        for row in summary:
            own = row.policy == policy and (row.labels, row.generator) == chosen
            if row.figure == "rare_recall" and row.arm != BASE and (own or row.arm == "real"):
                yield row.generation, policy, row.ratio, row.mean


def _shares(classes: Sequence[ClassRow], arms: Mapping[str, str]) -> Iterator[_Line]:
    found: dict[tuple[str, str, int], list[float | None]] = {}
    for row in classes:
        found.setdefault((row.arm, row.name, row.generation), []).append(row.share)
    for arm, title in arms.items():
        for (of, name, generation), shares in found.items():
            if of in (BASE, arm):
                yield generation, title, name, summarising.mean(shares).value


def _csv(head: Sequence[str], lines: Iterator[_Line]) -> str:
    return "".join(files.csv_line([_shown(value) for value in line]) for line in (head, *lines))


def _shown(value: object) -> str:
    return "" if value is None else f"{value:.{_DIGITS}g}" if isinstance(value, float) else str(value)
