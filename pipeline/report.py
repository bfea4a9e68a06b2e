"""Write the report: a page for people, a summary for pull requests, metrics and plots for DVC."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

from pipeline.adapters import charts
from pipeline.adapters import page as layout
from pipeline.core import (
    audits,
    colours,
    detections,
    files,
    judgements,
    ledger,
    manifest,
    object_strips,
    params,
    paths,
    pictures,
    report_charts,
    report_data,
    report_detection,
    report_files,
    report_galleries,
    report_review,
    report_similarity,
    report_tables,
    report_why,
    report_words,
    reporting,
    stage,
)
from pipeline.core import history as past
from pipeline.core.errors import UserError
from pipeline.core.manifest import Row
from pipeline.core.params import Params
from pipeline.core.paths import RunPaths
from pipeline.core.pictures import Gallery
from pipeline.core.report_charts import LineChart
from pipeline.core.report_numbers import counted
from pipeline.core.report_page import Drawing, Drawings, Fold, Page, Pictures, Rules, Topic
from pipeline.core.reporting import History

_PICTURES = 1_100_000  # characters of each of the three kinds of pictures: with all the page stays under 5 MB
_STRIPS = 400_000  # characters of the strips of one class
_PICTURED = 8  # newest runs of each arm that have pictures
_PANELS = 24  # classes with a chart of their own
_COLUMNS = 40  # classes with a column in the table


def main() -> None:
    """Write the report: a page for people, a summary for pull requests, metrics and plots for DVC."""
    settings = params.load()
    history = reporting.arrange(
        settings,
        {name: audits.read(RunPaths(name).figures) for name in (paths.BASE, *settings.runs)},
        {name: judgements.read(RunPaths(name).gate) for name in settings.runs},
        past.retired(settings.runs),
    )
    entries = ledger.read(paths.LEDGER) if paths.LEDGER.exists() else []
    review_topic = report_review.topic(entries, min_agreement=settings.review.min_agreement)
    page = _page(history, settings, review_topic, now=datetime.now(UTC))
    html = layout.render(page, _arm_colours(history))
    picture = charts.standalone(_rare_chart(history, settings, alone=True))
    tables = report_files.plots(history)  # all is made before anything is written
    with files.fresh_folder(paths.REPORT_PLOTS) as folder:
        for name, text in tables.items():
            files.write_text(folder / name, text)
        files.write_json(folder / report_files.RUNS, report_files.figures(history))
    files.write_text(paths.REPORT_SUMMARY, report_files.summary(history) + report_review.summary(review_topic))
    files.write_json(paths.REPORT_METRICS, report_files.metrics(history))
    files.write_text(paths.REPORT_PICTURE, picture)
    files.write_text(paths.REPORT_PAGE, html)
    stage.report(f"report: {report_words.headline(history)} {paths.REPORT_PAGE} ({len(html.encode()) / 1e6:.1f} MB)")


def _arm_colours(history: History) -> list[tuple[str, str]]:
    numbers = range(len(history.arms))
    return [(colours.arm_colour(number), colours.arm_colour_on_dark(number)) for number in numbers]


def _page(history: History, settings: Params, review: Topic | None, *, now: datetime) -> Page:
    held_out = {row.image_id: row for row in manifest.read(paths.VERIFIED_HELD_OUT)}
    pictured = [run.name for arm in history.arms for run in arm.runs[-_PICTURED:]]
    synthetic = {name: _synthetic(name) for name in pictured}  # read once, for several topics
    return Page(
        headline=report_words.headline(history),
        subtitle=report_words.subtitle(history),
        cards=tuple(report_words.card(history, arm) for arm in history.arms),
        whys=report_why.whys(history),
        arms=report_tables.arm_keys(history, report_charts.DASHES),
        main_charts=_main_charts(history, settings),
        class_charts=_class_charts(history, settings),
        topics=(
            _lost_topic(history, settings, held_out),
            *_objects_topic(history, synthetic),
            report_data.classes(history),
            _learned_topic(history, settings, synthetic),
            report_detection.topic(history),
            _duplication_topic(history, held_out, synthetic),
            report_similarity.diversity(history),
            report_similarity.drift(history),
            report_data.lineage(history, now=now),
            *([review] if review else []),
            _table_topic(history),
        ),
        rules=Rules(rules=report_words.rules(settings.gate, history.base.audit)),
    )


def _rare_chart(history: History, settings: Params, *, alone: bool = False) -> LineChart:
    return LineChart(
        lines=reporting.lines(history, reporting.rare_recall),
        floor=reporting.floor(history, reporting.rare_recall, settings.gate.recall_margin),
        floor_name=report_words.floor_name(settings.gate.recall_margin),
        size=(640, 360) if alone else (400, 270),
        title="Recall of rare classes, mean" if alone else "",
    )


def _main_charts(history: History, settings: Params) -> Drawings:
    precision = LineChart(
        lines=reporting.lines(history, report_files.map50_95),
        floor=reporting.floor(history, report_files.map50_95, settings.gate.map_margin),
        floor_name=report_words.floor_name(settings.gate.map_margin),
        size=(400, 270),
    )
    interval = f"95 % bootstrap interval over {history.base.audit.test_images:,} test images"
    drawings = (
        _drawing(_rare_chart(history, settings), "Recall of rare classes", report_words.rare_note(history)),
        _drawing(precision, "mAP50-95", interval),
    )
    return Drawings(drawings=drawings, small=False)


def _class_charts(history: History, settings: Params) -> Drawings:
    drawings = []
    for name in reporting.telling(history, history.rare, _PANELS):
        figure = reporting.recall_of(name)
        chart = LineChart(
            lines=reporting.lines(history, figure),
            floor=reporting.floor(history, figure, settings.gate.recall_margin),
            size=report_charts.SMALL,
            named=False,
        )
        drawings.append(_drawing(chart, name, report_words.class_note(history, name)))
    note = report_words.left_out(len(history.rare), _PANELS, "rare classes", "charts")
    return Drawings(drawings=tuple(drawings), small=True, note=note)


def _drawing(chart: LineChart, title: str, note: str) -> Drawing:
    return Drawing(title=title, note=note, alt=report_words.chart_alt(title, chart.lines), chart=chart)


def _table_topic(history: History) -> Topic:
    left_out = report_words.left_out(len(history.classes), _COLUMNS, "classes", "columns")
    return Topic(
        title="Every run",
        summary=report_words.subtitle(history),
        lead="Recall of each class with its interval, and the loss against the base run with its interval and p value. "
        + left_out,
        blocks=(report_tables.table_of_runs(history, most=_COLUMNS), *_retired(history)),
    )


def _retired(history: History) -> tuple[Fold, ...]:
    """The retired runs, folded; nothing where there is none."""
    number = sum(len(arm.retired) for arm in history.arms)
    if not number:
        return ()
    title = f"{counted(number, 'retired run')}: figures from {paths.HISTORY}, files by `tailwatch restore RUN`"
    return (Fold(title=title, blocks=(report_tables.table_of_retired(history, most=_COLUMNS),)),)


def _learned_topic(history: History, settings: Params, synthetic: Mapping[str, Mapping[str, Row]]) -> Topic:
    """Real pages first, then for each arm and generation the first of its synthetic pages."""
    real = list(_real(paths.BASE).values())
    most = settings.report.examples
    galleries = [report_galleries.pages(history.base, real, history.classes, most)]
    for arm in history.arms:
        for run in arm.runs[-_PICTURED:]:
            rows = list(synthetic[run.name].values())
            galleries.append(report_galleries.pages(run, rows, history.classes, most))
    return Topic(
        title="What the detector learned from",
        summary="real images, then synthetic ones of every generation",
        lead="The first images of each generation, by image id, with the boxes that were trained on. "
        + report_words.pictures_note(history, _PICTURED),
        blocks=(
            Pictures(
                style="pages",
                galleries=tuple(pictures.within(galleries, _PICTURES)),
                keys=report_tables.class_keys(history),
            ),
        ),
    )


def _synthetic(run: str) -> Mapping[str, Row]:
    """The synthetic images of a run by id; none where its table is gone."""
    return _rows(RunPaths(run).synthetic_manifest)


def _real(run: str) -> Mapping[str, Row]:
    """The real images that a run could train on, with the labels of then, by id; none where its table is gone."""
    return _rows(RunPaths(run).real_manifest)


def _rows(table: Path) -> Mapping[str, Row]:
    try:
        return {row.image_id: row for row in manifest.read(table)}
    except UserError:
        return {}


def _lost_topic(history: History, settings: Params, held_out: Mapping[str, Row]) -> Topic:
    """For each run, the newest of each arm first, crops of the test boxes that it lost."""
    test = report_galleries.LabelledTest(
        rows=held_out,
        boxes=detections.read(RunPaths(paths.BASE).boxes),
        classes=history.classes,
    )
    galleries = [
        report_galleries.lost_boxes(
            run, test,
            detections.read(RunPaths(run.name).predictions, split="test", at_least=run.audit.confidence),
            most=settings.report.lost_boxes, newest=run is arm.newest,
        )
        for arm in history.arms
        for run in reversed(arm.runs[-_PICTURED:])
    ]  # fmt: skip
    return report_galleries.lost_topic(
        pictures.within(galleries, _PICTURES), note=report_words.pictures_note(history, _PICTURED)
    )


def _objects_topic(history: History, synthetic: Mapping[str, Mapping[str, Row]]) -> tuple[Topic, ...]:
    """The rarest class over each arm's generations; nothing where there is no such class or no run yet."""
    real = list(_real(paths.BASE).values())
    chosen = object_strips.rarest(real, classes=len(history.classes))
    if chosen is None or not history.newest:
        return ()
    first = report_galleries.objects(history.base, real, chosen, history.classes)
    arms = [
        [report_galleries.objects(run, list(synthetic[run.name].values()), chosen, history.classes)
         for run in arm.runs[-_PICTURED:]]
        for arm, _ in history.newest
    ]  # fmt: skip
    made = iter(pictures.within([one for arm in arms for one in arm], _STRIPS))
    rows = [[first, *(next(made) for _ in arm)] for arm in arms]
    note = report_words.pictures_note(history, _PICTURED)
    return (report_galleries.objects_topic(rows, history.classes[chosen], note=note),)


def _duplication_topic(
    history: History, held_out: Mapping[str, Row], synthetic: Mapping[str, Mapping[str, Row]]
) -> Topic:
    """Groups and suspicious pairs of each arm's newest run; of objects, or of images where no object is alike."""
    groups: list[Gallery] = []
    pairs: list[Gallery] = []
    for _, run in history.newest:
        rows, real = synthetic[run.name], {**held_out, **_real(run.name)}
        groups += report_galleries.groups(run, rows, history.classes)
        pair = report_galleries.pairs(run, rows, real, history.classes)
        pairs += [pair] if pair else []
    kept = pictures.within([*groups, *pairs], _PICTURES)
    return report_similarity.duplication(history, kept[: len(groups)], kept[len(groups) :])


if __name__ == "__main__":
    stage.start_plain(main)
