"""From a folder of labelled images to a params.yaml that suits it and this machine."""

from __future__ import annotations

import dataclasses
import difflib
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pipeline import planning, probing
from pipeline.core import (
    appending,
    bounded,
    files,
    layouts,
    params,
    paths,
    proposals,
    settling,
    surveys,
    value_lines,
)
from pipeline.core.errors import UserError
from pipeline.core.layouts import Kind, Layout
from pipeline.core.params import Params
from pipeline.core.paths import RunPaths
from pipeline.core.proposals import Numbers, Training
from pipeline.core.sections import Run
from pipeline.core.sources import reading
from pipeline.core.sources.found import Source
from pipeline.core.surveys import ClassSurvey, Survey
from pipeline.core.value_lines import Value
from pipeline.probing import Clock

_SOURCES = Path("data/source")  # of the project: where a copy of a dataset may be
_POWER = 0.8
_LARGEST_LIST = 1 << 20  # bytes of a classes.txt


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What the user asks for.

    Attributes:
        source: folder or file of the dataset.
        kind: its layout; None: the one that is found.
        minutes: that all runs together may take.
        probe: whether steps of a training are timed; without, the data alone decide.
        max_rejected: largest share of images and of boxes that may be unusable; None: that of params.yaml.
        force: whether a project that has trained is changed.
    """

    source: Path
    kind: Kind | None = None
    minutes: float = 60.0
    probe: bool = True
    max_rejected: float | None = None
    force: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassOutlook:
    """What can be learned and proved of a class.

    Attributes:
        seen: the class in the source.
        train: boxes to learn from.
        test: boxes that judge.
        rare: whether it is tested by itself.
        loss: smallest loss of recall that a night shows with 80 % power; None: not even a loss of all of it.
    """

    seen: ClassSurvey
    train: int
    test: int
    rare: bool
    loss: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """What is to be written, and why."""

    layout: Layout
    path: str
    survey: Survey
    of_source: bool
    numbers: Numbers
    training: Training
    clock: Clock | None
    minutes: float
    classes: tuple[ClassOutlook, ...]
    settings: Params
    before: str
    after: str

    def diff(self) -> str:
        """What changes in params.yaml, as a unified diff; empty where nothing does."""
        before, after = (text.splitlines(keepends=True) for text in (self.before, self.after))
        return "".join(difflib.unified_diff(before, after, fromfile="params.yaml", tofile="params.yaml"))


def propose(wanted: Wanted) -> Proposal:
    """Look at a dataset and at this machine, and say what params.yaml should be; nothing is written but scratch.

    Raises:
        UserError: the dataset cannot be used as it is, or the project has trained on other data.
    """
    if not 0 < wanted.minutes < 1e6:  # noqa: PLR2004 - two years
        raise UserError(f"--minutes {wanted.minutes:g}, wanted a number of minutes over 0.")
    settings = params.load()
    _require_unused(settings, force=wanted.force)
    place = _placed(wanted.source)
    layout = layouts.choose(place, wanted.kind)
    path = _written(layout.path)
    source = reading.read(layout.kind, layout.path)
    _require_one_list(layout, source)
    ingest = settings.ingest
    survey = surveys.survey(source, max_pixels=ingest.max_pixels, tolerance=ingest.tolerance)
    limit = ingest.max_rejected if wanted.max_rejected is None else wanted.max_rejected
    _require_usable(survey, layout, limit)
    shares = dataclasses.asdict(settings.verify.shares)
    of_source = survey.has_splits
    counts = proposals.numbers(survey, of_source=of_source, shares=shares)
    timer = probing.Timer(source, settings)
    training = proposals.choose(
        survey,
        counts,
        minutes=wanted.minutes if wanted.probe else None,
        gpu=wanted.probe and _gpu(settings),
        seconds=timer.alone,
    )
    values = _values(settings, layout, path, survey, training, counts) | {
        "verify.splits": "source" if of_source else "identity",
        "ingest.max_rejected": limit,
    }
    before = paths.PARAMS.read_bytes().decode()
    after = _edited(before, settings, values, proposals.runs(training.generations))
    return Proposal(
        layout=layout, path=path, survey=survey, of_source=of_source, numbers=counts, training=training,
        clock=timer.last, minutes=wanted.minutes, settings=params.parse(after), before=before, after=after,
        classes=_outlooks(survey, params.parse(after), of_source=of_source, shares=shares),
    )  # fmt: skip


def write(found: Proposal) -> Path:
    """Write params.yaml and retire the frozen test split of the data before; give the folder of their copies."""
    aside = paths.STATE / f"before-init-{time.strftime('%Y%m%d-%H%M%S')}"
    files.write_text(aside / paths.PARAMS.name, found.before)
    files.write_bytes(paths.PARAMS, found.after.encode())
    if paths.TEST_LOCK.exists():
        files.write_bytes(aside / paths.TEST_LOCK.name, paths.TEST_LOCK.read_bytes())
        paths.TEST_LOCK.unlink()
    return aside


def _require_unused(settings: Params, *, force: bool) -> None:
    """Refuse a project that has trained: its runs and figures are of other data.

    Raises:
        UserError: a run has outputs and it is not forced, or old runs have left and stay known.
    """
    if paths.HISTORY.is_dir() and (known := sorted(paths.HISTORY.glob("*.json"))):
        raise UserError(
            f"this project has a history of {len(known)} retired runs on other data ({paths.HISTORY}). Clone it anew "
            "for another dataset."
        )
    trained = [run for run in (paths.BASE, *settings.runs) if any(out.exists() for out in RunPaths(run).outs)]
    if trained and not force:
        raise UserError(
            f"runs have outputs already: {', '.join(trained[:5])}. Figures of another dataset cannot be compared with "
            "them. Clone the project anew for it; or type --force, and the next `uv run dvc repro` makes them anew."
        )


def _placed(source: Path) -> Path:
    """The dataset's place, whole; a folder that the pipeline writes, or that holds the project, is none.

    Raises:
        UserError: it is such a folder, or in the project elsewhere than under data/source.
    """
    try:
        found = Path(os.path.realpath(source))
    except ValueError:
        raise UserError(f"--source {bounded.shown(str(source))}, which no folder can be called.") from None
    here = Path.cwd().resolve()
    if here.is_relative_to(found):
        raise UserError(f"--source {source} holds this project. Give the dataset's own folder.")
    if found.is_relative_to(here) and not found.is_relative_to(here / _SOURCES):
        raise UserError(
            f"--source {source} is inside the project, whose folders the pipeline and git have. Move the dataset to "
            f"{_SOURCES}/NAME or out of the project."
        )
    return found


def _written(path: Path) -> str:
    """The path as params.yaml has it: relative where it is in the project."""
    here = Path.cwd().resolve()
    real = Path(os.path.realpath(path))
    return real.relative_to(here).as_posix() if real.is_relative_to(here) else real.as_posix()


def _require_one_list(layout: Layout, source: Source) -> None:
    """Refuse a YOLO dataset whose labelling tool left other classes than data.yaml names: every label would be wrong.

    Raises:
        UserError: a classes.txt, in the dataset's folder or in one of labels, disagrees.
    """
    if layout.kind != "yolo":
        return
    for here, _, names in os.walk(layout.path if layout.path.is_dir() else layout.path.parent):
        if "classes.txt" not in names:
            continue
        path = Path(here) / "classes.txt"
        try:
            listed = [line.strip() for line in bounded.text(path, most=_LARGEST_LIST).splitlines() if line.strip()]
        except ValueError as error:
            raise UserError(f"{path} {error}. Correct it, or remove it.") from None
        if listed != list(source.classes):
            raise UserError(
                f"{path} names {', '.join(listed[:8])}; the data.yaml names {', '.join(source.classes[:8])}. Labels "
                "count by these lists: find out which one they were made with, and make the other the same."
            )


def _require_usable(survey: Survey, layout: Layout, limit: float) -> None:
    """Refuse what ingest or training would stop at.

    Raises:
        UserError: no object, or too much that cannot be used.
    """
    found, told = survey.found_images, "; ".join(survey.examples)
    for bad, total, name in ((survey.refused_images, found, "images"),
                             (survey.refused_boxes, survey.found_boxes, "boxes and labels")):  # fmt: skip
        if bad > limit * total:
            raise UserError(
                f"{bad:,} of the {total:,} {name} in {layout.path} cannot be used, more than {limit:.1%}. The first: "
                f"{told}. Correct them; or, if the rest is what you want, type --max-rejected "
                f"{min(-(-1000 * bad // total) / 1000, 1):g}."
            )
    if survey.boxes == 0:
        raise UserError(
            f"{layout.path} has {found:,} images and not one labelled object: nothing can be learned from it."
        )
    few = survey.usable < 10  # noqa: PLR2004 - three splits, with something in each
    if few:
        raise UserError(f"{layout.path} has {survey.usable} usable images, wanted at least 10: train, val and test.")


def _values(
    settings: Params, layout: Layout, path: str, survey: Survey, training: Training, counts: Numbers
) -> dict[str, Value]:
    """The values of params.yaml that the dataset decides."""
    share = proposals.rare_share(survey, settings.audit.rare_share)
    augment: dict[str, Value] = {**settings.train.augment, "fliplr": 0.5 if proposals.flips(survey) else 0.0}
    return {
        "ingest.source": layout.kind,
        "ingest.path": path,
        "generate.images": max(counts.train, 1),
        "generate.mixture.crop": proposals.crop(survey, training.image_size),
        "train.model": training.model,
        "train.image_size": training.image_size,
        "train.steps": training.steps,
        "train.batch": training.batch,
        "train.augment": augment,
        "audit.rare_share": share,
        "audit.rare_classes": list(proposals.rare_classes(survey, share)),
    }


def _edited(text: str, settings: Params, values: Mapping[str, Value], runs: Mapping[str, Run]) -> str:
    """The text of params.yaml with these values and runs, and without pins and anchors of other data."""
    replaced = [name for name, run in settings.runs.items() if runs.get(name) != run]
    text = appending.edited(text, add=runs, remove=replaced, anchors={}, pins={})
    return value_lines.changed(text, values)


def _outlooks(
    survey: Survey, settings: Params, *, of_source: bool, shares: Mapping[str, float]
) -> tuple[ClassOutlook, ...]:
    """What can be learned and proved of each class."""

    def boxes(one: ClassSurvey, split: str) -> int:
        return proposals.expected_boxes(one, split, of_source=of_source, shares=shares)

    splits = ("train",) if of_source else ()
    named = settings.audit.rare_classes
    rare = {
        one.name
        for one in survey.classes
        if one.name in named or (survey.share(one, *splits) or 0.0) < settings.audit.rare_share
    }
    rule = planning.gate_rule(settings.gate, rare=len(rare), power=_POWER)
    return tuple(
        ClassOutlook(
            seen=one,
            train=boxes(one, "train"),
            test=boxes(one, "test"),
            rare=one.name in rare,
            loss=settling.smallest_loss(boxes(one, "test"), planning.UNKNOWN, rule),
        )
        for one in survey.classes
    )


def _gpu(settings: Params) -> bool:
    from pipeline.adapters import yolo

    return yolo.device_of(settings.train.device) != "cpu"
