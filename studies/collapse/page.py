"""docs/benchmark.md, written from the tables: no number in it is typed, and what cannot be computed is a dash."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pipeline.core import bounded, plain_yaml
from pipeline.core.errors import UserError
from pipeline.core.figures import Figure
from studies.collapse import claims, drawing, places, prose, settings, summarising, tables
from studies.collapse.claims import Claim, Tables
from studies.collapse.settings import Study
from studies.collapse.summarising import BASE, ClassRow, GenerationRow, SummaryRow

_DASH = "–"  # noqa: RUF001 - a dash stands for what is not there
_SHOWN = ("map50_95", "rare_recall", "coverage", "vendi")
_HEADS = ("mAP50-95", "recall of rare classes", "coverage", "Vendi score beside real")


def require_present(study: Study) -> None:
    """Refuse results that are of other settings than the present ones.

    Raises:
        UserError: they are.
    """
    here = study.places
    if _has_results(here.results) and _described(here.results)["digest"] != tables.digest(study):
        raise UserError(
            f"the results in {here.results} are of other settings than those in {here.params}. "
            f"Run `{here.command} run`, or take your change back."
        )


def render() -> str:
    """The page, a part a study of the project in the working directory; without results, what it will be about.

    Raises:
        UserError: settings, or a table, are missing or damaged.
    """
    parts = [prose.QUESTION, f"## Protocol\n\n{prose.PROTOCOL}\n{prose.INTERVALS}\n{prose.OUTCOMES}"]
    for one in places.present():
        study = settings.load(one.name)
        head = f"## {study.dataset.title}\n\n`{one.command} run`"
        parts += [head, *(_part(one.results) if _has_results(one.results) else _nothing_yet(study))]
    parts.append(f"{prose.THREATS_HEAD}\n\n{prose.THREATS}")
    return "\n".join(part.strip() + "\n" for part in parts)


def _has_results(folder: Path) -> bool:
    return (folder / tables.STUDY).exists()


def _nothing_yet(study: Study) -> list[str]:
    return [prose.NO_RESULTS.format(command=study.places.command)]


def _part(folder: Path) -> list[str]:
    """What is said of one study."""
    about = _described(folder)
    rows: list[GenerationRow] = summarising.read(folder / tables.GENERATIONS, GenerationRow)
    classes: list[ClassRow] = summarising.read(folder / tables.CLASSES, ClassRow)
    summary: list[SummaryRow] = summarising.read(folder / tables.SUMMARY, SummaryRow)
    labels, generator = drawing.principal(summary)
    found = claims.against_theory(Tables(rows=rows, classes=classes, labels=labels, generator=generator))
    link = os.path.relpath(folder, places.PAGE.parent)
    return [
        _setting(about, rows),
        _results(summary, about["generations"], link, folder),
        _theory(found),
        _contradictions(found),
    ]


def _described(folder: Path) -> dict[str, Any]:
    path = folder / tables.STUDY
    try:
        found: dict[str, Any] = json.loads(bounded.text(path, most=plain_yaml.MOST))
    except (OSError, ValueError) as error:
        raise UserError(f"{path} cannot be read ({error}). Run `uv run python -m studies.collapse run`.") from None
    return found


def _setting(about: dict[str, Any], rows: Sequence[GenerationRow]) -> str:
    train, boxes = about["train"], about["data"]["boxes"]
    names = list(boxes["test"])
    table = _markdown(
        ["boxes", *names], [[split, *(f"{boxes[split][name]}" for name in names)] for split in ("train", "val", "test")]
    )
    arms = len({row.arm for row in rows} - {BASE})
    hours = sum(row.seconds for row in rows) / 3600
    missing = about["missing"]
    left = f" Not made yet: {len(missing)} cells ({', '.join(missing)})." if missing else ""
    versions = ", ".join(f"{name} {version}" for name, version in about["packages"].items())
    seeds, test = len(about["seeds"]), about["data"]["images"]["test"]
    return f"""### Setting

{table}
Source `{about["source"]}`: {about["data"]["training"]} real training images, {test} test
images. {arms} arms of {about["generations"]} generations, with {seeds} seeds ({_listed(about["seeds"])});
each generation trains `{train["model"]}` from scratch at {train["image_size"]} pixels for {train["steps"]} steps of
{train["batch"]} images (learning rate {train["learning_rate"]:g}), on {about["threads"]} core(s). Total:
`{about["total"]}`. Pseudo-labels have a confidence of {about["confidence"]:g} or more. Made with {versions}; all runs
one after another took {hours:.1f} hours.{left} Intervals are over {seeds} seed(s) on one set of {test} test images, and
hold for this data set, not for others.
"""


def _results(summary: Sequence[SummaryRow], last: int, link: str, folder: Path) -> str:
    parts = ["### Results\n"]
    for name, alt in prose.PICTURES.items():
        if (folder / name).exists():
            parts.append(f"![{alt}]({link}/{name})\n")
    values = {(row.arm, row.generation, row.figure): row for row in summary}
    arms = list(dict.fromkeys(row.arm for row in summary if row.arm != BASE))
    lines = [[BASE, "0", *_cells(values, BASE, 0)]]
    lines += [[arm, str(number), *_cells(values, arm, number)] for arm in arms for number in sorted({1, last})]
    parts.append(_markdown(["arm", "generation", *_HEADS, "seeds"], lines))
    parts.append(f"All figures of all generations: [summary.csv]({link}/summary.csv), "
                 f"[generations.csv]({link}/generations.csv), [classes.csv]({link}/classes.csv).")  # fmt: skip
    return "\n".join(parts)


def _cells(values: dict[tuple[str, int, str], SummaryRow], arm: str, generation: int) -> list[str]:
    found = [values.get((arm, generation, figure)) for figure in _SHOWN]
    seeds = next((row.seeds for row in found if row), 0)
    shown = [_interval(Figure(value=row.mean, low=row.low, high=row.high)) if row else _DASH for row in found]
    return [*shown, str(seeds)]


def _theory(found: Sequence[Claim]) -> str:
    lines = [[one.theory, one.measured, _interval(one.figure, signed=True), one.outcome] for one in found]
    return f"""### Against theory

{len(found)} claims are tested at 95 % each, and none is corrected for the others.

{_markdown(["theory", "measured; above 0 it agrees", "mean (95 % interval)", "outcome"], lines)}"""


def _contradictions(found: Sequence[Claim]) -> str:
    against = [one for one in found if one.outcome == "contradicts"]
    undecided = [one for one in found if one.outcome == "open"]
    said = [f"- {one.theory} Here: {one.measured}: {_interval(one.figure, signed=True)}." for one in against]
    lines = said or ["No interval lies wholly on the side that theory excludes."]
    if undecided:
        lines += ["", f"Of {len(undecided)} claims the interval holds 0, or there is none: neither shown nor refuted."]
    return "\n".join(["### What contradicts it", "", *lines])


def _interval(one: Figure, *, signed: bool = False) -> str:
    form = "+.3f" if signed else ".3f"
    if one.value is None:
        return _DASH
    if one.low is None or one.high is None:
        return format(one.value, form)
    return f"{one.value:{form}} ({one.low:{form}} to {one.high:{form}})"


def _listed(numbers: Sequence[int]) -> str:
    return ", ".join(str(one) for one in numbers)


def _markdown(head: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    rows = [head, ["---"] * len(head), *lines]
    return "".join(f"| {' | '.join(line)} |\n" for line in rows)
