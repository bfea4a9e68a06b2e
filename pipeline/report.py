"""Write the report: a page for people, a summary for pull requests, metrics and plots for DVC."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from pipeline.adapters import charts
from pipeline.adapters import page as layout
from pipeline.adapters.charts import Chart
from pipeline.core import (
    audits,
    colours,
    detections,
    files,
    images,
    labels,
    lost,
    manifest,
    params,
    paths,
    pictures,
    report_files,
    report_tables,
    report_words,
    reporting,
    stage,
    verdicts,
)
from pipeline.core.errors import UserError
from pipeline.core.manifest import Row
from pipeline.core.params import Params
from pipeline.core.paths import RunPaths
from pipeline.core.pictures import Gallery
from pipeline.core.report_page import Drawing, Page
from pipeline.core.reporting import History, RunRecord

_PICTURES = 1_900_000  # characters of each of the two galleries: with both the page stays under 5 MB
_PICTURED = 8  # newest runs of each arm that have pictures
_PANELS = 24  # classes with a chart of their own
_COLUMNS = 40  # classes with a column in the table


def main() -> None:
    """Write the report: a page for people, a summary for pull requests, metrics and plots for DVC."""
    settings = params.load()
    history = reporting.arrange(
        settings,
        {name: audits.read(RunPaths(name).figures) for name in (paths.BASE, *settings.runs)},
        {name: verdicts.read(RunPaths(name).gate) for name in settings.runs},
    )
    html = layout.render(_page(history, settings), _arm_colours(history))
    picture = charts.standalone(_rare_chart(history, settings, alone=True))
    tables = report_files.plots(history)  # all is made before anything is written
    with files.fresh_folder(paths.REPORT_PLOTS) as folder:
        for name, text in tables.items():
            files.write_text(folder / name, text)
    files.write_text(paths.REPORT_SUMMARY, report_files.summary(history))
    files.write_json(paths.REPORT_METRICS, report_files.metrics(history))
    files.write_text(paths.REPORT_PICTURE, picture)
    files.write_text(paths.REPORT_PAGE, html)
    stage.report(f"report: {report_words.headline(history)} {paths.REPORT_PAGE} ({len(html.encode()) / 1e6:.1f} MB)")


def _arm_colours(history: History) -> list[tuple[str, str]]:
    numbers = range(len(history.arms))
    return [(colours.arm_colour(number), colours.arm_colour_on_dark(number)) for number in numbers]


def _page(history: History, settings: Params) -> Page:
    told = reporting.rare_first(history, reporting.telling(history, history.classes, _COLUMNS))
    return Page(
        headline=report_words.headline(history),
        subtitle=report_words.subtitle(history),
        cards=tuple(report_words.card(history, arm) for arm in history.arms),
        arms=report_tables.arm_keys(history, charts.DASHES),
        main_charts=_main_charts(history, settings),
        class_charts=_class_charts(history, settings),
        class_charts_note=report_words.left_out(len(history.rare), _PANELS, "rare classes", "charts"),
        classes=report_tables.class_keys(history),
        shares=report_tables.share_panels(history),
        learned=tuple(pictures.within(_learned(history, settings.report.examples), _PICTURES)),
        pictures_note=report_words.pictures_note(history, _PICTURED),
        lost=tuple(pictures.within(_lost(history, settings), _PICTURES)),
        columns=report_tables.columns(told, history.rare),
        columns_note=report_words.left_out(len(history.classes), _COLUMNS, "classes", "columns"),
        table=tuple(report_tables.table_row(run, told) for run in history.runs),
        lineage=report_tables.lineage_panels(history),
        chains=report_words.chains(history),
        depths=report_tables.depth_keys(history),
        rules=report_words.rules(settings.gate, history.base.audit),
    )


def _rare_chart(history: History, settings: Params, *, alone: bool = False) -> Chart:
    return Chart(
        lines=reporting.lines(history, reporting.rare_recall),
        floor=reporting.floor(history, reporting.rare_recall, settings.gate.recall_margin),
        floor_name=report_words.floor_name(settings.gate.recall_margin),
        size=(640, 360) if alone else (400, 270),
        title="Recall of rare classes, mean" if alone else "",
    )


def _main_charts(history: History, settings: Params) -> tuple[Drawing, ...]:
    rare = _rare_chart(history, settings)
    precision = Chart(
        lines=reporting.lines(history, report_files.map50_95),
        floor=reporting.floor(history, report_files.map50_95, settings.gate.map_margin),
        floor_name=report_words.floor_name(settings.gate.map_margin),
        size=(400, 270),
    )
    return (
        _drawing(rare, "rare", "Recall of rare classes", report_words.rare_note(history)),
        _drawing(precision, "map", "mAP50-95", "with the 95 % bootstrap interval over test images"),
    )


def _class_charts(history: History, settings: Params) -> tuple[Drawing, ...]:
    drawings = []
    for number, name in enumerate(reporting.telling(history, history.rare, _PANELS)):
        figure = reporting.recall_of(name)
        chart = Chart(
            lines=reporting.lines(history, figure),
            floor=reporting.floor(history, figure, settings.gate.recall_margin),
            floor_name="",
            size=(320, 215),
            named=False,
        )
        drawings.append(_drawing(chart, f"class{number}", name, report_words.class_note(history, name)))
    return tuple(drawings)


def _drawing(chart: Chart, name: str, title: str, note: str) -> Drawing:
    alt = report_words.chart_alt(title, chart.lines)
    return Drawing(title=title, note=note, svg=charts.inline(chart, name=name, alt=alt))


def _learned(history: History, most: int) -> list[Gallery]:
    """Real pages first, then for each arm and generation the first of its synthetic pages."""
    real = [row for row in manifest.read(paths.VERIFIED_MANIFEST) if row.split == "train"]
    galleries = [_pages(history.base, real, history.classes, most)]
    for arm in history.arms:
        for run in arm.runs[-_PICTURED:]:
            rows = manifest.read(RunPaths(run.name).synthetic_manifest)
            galleries.append(_pages(run, rows, history.classes, most))
    return galleries


def _pages(run: RunRecord, rows: Sequence[Row], classes: Sequence[str], most: int) -> Gallery:
    pages = []
    for row in sorted(rows, key=lambda row: row.image_id)[:most]:
        alt = report_words.page_alt(row, classes)
        pages.append(pictures.page(images.read(Path(row.path)), labels.read(row.label_path), alt=alt))
    return report_words.gallery(run, pages, note=report_words.learned_note(run), missing="no synthetic image")


def _lost(history: History, settings: Params) -> list[Gallery]:
    """For each run, the newest of each arm first, crops of the test boxes that it lost."""
    test = {row.image_id: row for row in manifest.read(paths.VERIFIED_MANIFEST) if row.split == "test"}
    boxes = detections.read(RunPaths(paths.BASE).boxes)
    return [
        _lost_by(run, boxes, test, history.classes, most=settings.report.lost_boxes, newest=run is arm.newest)
        for arm in history.arms
        for run in reversed(arm.runs[-_PICTURED:])
    ]


def _lost_by(
    run: RunRecord, boxes: pd.DataFrame, test: Mapping[str, Row], classes: Sequence[str], *, most: int, newest: bool
) -> Gallery:
    gone = run.judgement.lost_boxes if run.judgement else {}
    predictions = detections.read(RunPaths(run.name).predictions)
    point = {"confidence": run.audit.confidence, "iou": run.audit.iou}
    crops = []
    for one in lost.look_up(lost.choose(gone, most), boxes, predictions, **point):
        if one.image_id not in test:
            raise UserError(f"image {one.image_id} is not in the test split any more. Run `uv run dvc repro`.")
        row = test[one.image_id]
        caption = report_words.lost_caption(one, row.name, classes)
        pixels = images.read(Path(row.path))
        crops.append(pictures.crop(pixels, one.corners, one.class_id, alt=", ".join(caption), caption=caption))
    note = report_words.lost_note(gone, len(crops))
    return report_words.gallery(run, crops, note=note, missing="no box of a rare class was lost", newest=newest)


if __name__ == "__main__":
    stage.start_plain(main)
