"""The tables of the study, from what is kept of its bases and cells."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from importlib import metadata
from typing import Any

from pipeline.chains.inputs import key
from pipeline.core import files
from pipeline.core.errors import UserError
from studies.collapse import drawing, inputs, measuring, planning, plotting, settings, summarising, work
from studies.collapse.measuring import Generation, Measured
from studies.collapse.settings import Cell, Study
from studies.collapse.summarising import ClassRow, GenerationRow, SummaryRow

GENERATIONS = "generations.csv"
CLASSES = "classes.csv"
SUMMARY = "summary.csv"
STUDY = "study.json"
_PACKAGES = ("torch", "ultralytics", "numpy", "opencv-python-headless", "scikit-learn")


def write(study: Study) -> None:
    """Write tables and figures of the cells that are there.

    Raises:
        UserError: no cell is there, or one is of other settings.
    """
    cells = settings.cells(study)
    made = {name: found for name in cells if (found := planning.kept(study, name)) is not None}
    if not made:
        raise UserError(f"no cell of the grid is made yet. Run `{study.places.command} run`.")
    _require_present(study, cells, made)
    bases = {seed: measuring.read(study.places.made_base(seed)) for seed in sorted({one.seed for one in made.values()})}
    rows, classes = _rows(cells, made, bases)
    with files.fresh_folder(study.places.results) as folder:
        summary = summarising.summarise(rows)
        summarising.write(folder / GENERATIONS, rows, GenerationRow)
        summarising.write(folder / CLASSES, classes, ClassRow)
        summarising.write(folder / SUMMARY, summary, SummaryRow)
        files.write_json(folder / STUDY, _described(study, cells, made))
        for name, text in drawing.draw(study, rows, classes, summary).items():
            files.write_text(folder / name, text)
        for name, text in plotting.tables(classes, summary).items():
            files.write_text(folder / plotting.FOLDER / name, text)


def digest(study: Study) -> str:
    """Of the settings that results rest on: results of others are refused."""
    plain = asdict(study)
    return key({name: plain[name] for name in plain if name not in ("grid", "crops", "name")})


def _require_present(study: Study, cells: Mapping[str, Cell], made: Mapping[str, Measured]) -> None:
    """Refuse cells that are of other settings or other code than the present ones."""
    here = study.places
    other = [name for name, one in made.items() if one.key != work.keys(study, cells[name])[-1]]
    if other:
        raise UserError(
            f"{len(other)} cells in {here.made_cells} are of other settings or code than those of {here.params}: "
            f"{', '.join(other[:5])}{' …' if len(other) > 5 else ''}. "  # noqa: PLR2004 - enough to see which
            f"Run `{here.command} run`: it makes them anew. Or take your change back."
        )


def _rows(
    cells: Mapping[str, Cell], made: Mapping[str, Measured], bases: Mapping[int, Measured]
) -> tuple[list[GenerationRow], list[ClassRow]]:
    rows, classes = [], []
    lines: list[tuple[str, str, Cell | None, Measured]] = [
        (f"{summarising.BASE}-{seed}", summarising.BASE, None, one) for seed, one in bases.items()
    ]
    lines += [(name, cells[name].arm, cells[name], one) for name, one in made.items()]
    for name, arm, cell, measured in lines:
        for one in measured.generations:
            rows.append(_row(name, arm, cell, measured.seed, one))
            classes += _classes(name, arm, measured.seed, one)
    return rows, classes


def _row(name: str, arm: str, cell: Cell | None, seed: int, one: Generation) -> GenerationRow:
    made = one.made
    return GenerationRow(
        cell=name, arm=arm, policy=cell.policy if cell else "",
        ratio="" if cell is None else cell.ratio if cell.ratio == "pool" else f"{cell.ratio:g}",
        labels=cell.labels if cell else "", generator=cell.generator if cell else "", seed=seed, generation=one.number,
        map50_95=one.map50_95.value, map50_95_low=one.map50_95.low, map50_95_high=one.map50_95.high,
        map50=one.map50.value, map50_low=one.map50.low, map50_high=one.map50.high, rare_recall=one.rare_recall,
        real_images=one.real_images, synthetic_images=one.synthetic_images, depth=one.depth,
        exact=made.exact if made else None, near_images=made.near_images if made else None,
        near_objects=made.near_objects if made else None, copied_objects=made.copied_objects if made else None,
        vendi=made.vendi if made else None, coverage=made.coverage if made else None,
        lost_tail=made.lost_tail if made else None, seconds=one.seconds, processor=one.processor, digest=one.digest,
    )  # fmt: skip


def _classes(name: str, arm: str, seed: int, one: Generation) -> list[ClassRow]:
    total = sum(some.training_boxes for some in one.classes)
    return [
        ClassRow(
            cell=name, arm=arm, seed=seed, generation=one.number, name=some.name, rare=some.rare, support=some.support,
            recall=some.recall.value, recall_low=some.recall.low, recall_high=some.recall.high, ap50_95=some.ap50_95,
            training_boxes=some.training_boxes, share=some.training_boxes / total if total else None,
        )
        for some in one.classes
    ]  # fmt: skip


def _described(study: Study, cells: Mapping[str, Cell], made: Mapping[str, Measured]) -> dict[str, Any]:
    """What the tables are of, for the page that is written from them."""
    merged = settings.merged(study)
    data = inputs.read(study.places, "data")["settings"]
    return {
        "digest": digest(study),
        "cells": len(cells),
        "missing": [name for name in cells if name not in made],
        "seeds": list(study.seeds),
        "generations": study.generations,
        "threads": study.threads,
        "title": study.dataset.title,
        "source": data["ingest"]["source"],
        "verified": study.dataset.verified,
        "total": study.total,
        "data": work.real(study),
        "train": {name: merged["train"][name] for name in ("model", "image_size", "steps", "batch", "learning_rate")},
        "confidence": merged["generate"]["confidence"],
        "rare_share": merged["audit"]["rare_share"],
        "packages": {name: metadata.version(name) for name in _PACKAGES},
    }
