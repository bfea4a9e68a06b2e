"""Audits, verdicts and a small project on the disk for the tests of the report."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import yaml

from pipeline.core import (
    audits,
    detections,
    files,
    images,
    judgements,
    labels,
    manifest,
    params,
    paths,
    reporting,
    statistics,
)
from pipeline.core.audits import Audit
from pipeline.core.figures import ClassFigures, Duplication, Figure, Forecast, NearGroup, NearPair
from pipeline.core.judgements import Finding, Judgement, Test, Trend, Verdict
from pipeline.core.judgements import Warning as EarlyWarning
from pipeline.core.manifest import Row
from pipeline.core.params import Params
from pipeline.core.paths import RunPaths
from pipeline.core.reporting import History
from tests import builders
from tests.imports import ROOT

SUPPORT = 40
QUANTITIES = ("class shares", "box size", "sharpness", "contrast")


def class_figures(name: str, found: int | None, *, rare: bool = True, boxes: int = 10) -> ClassFigures:
    """A class of which so many of 40 test boxes were found; None: it has no test box."""
    support = 0 if found is None else SUPPORT
    interval = statistics.clopper_pearson(found or 0, support)
    recall = Figure(value=None, reason="no test box")
    if interval is not None and found is not None:
        recall = Figure(value=found / support, low=interval.low, high=interval.high, samples=support)
    return builders.class_figures(
        name, rare=rare, support=support, found=found or 0, recall=recall, training_boxes=boxes
    )


def audit(run: str = "base", arm: str = "", generation: int = 0, **changes: object) -> Audit:
    """An audit with a common and a rare class; of generations after the base, with all that is said of their images."""
    classes = changes.get("classes", (class_figures("cat", 39, rare=False, boxes=90), class_figures("lynx", 36)))
    names = [one.name for one in classes]  # type: ignore[attr-defined]
    plain: dict[str, object] = {
        "test_images": 20,
        "classes": classes,
        "detection": builders.detection_figures(names),
        "real_images": 0 if generation else 5,
        "synthetic_images": 5 if generation else 0,
        "lineage": {str(generation): 5},
        "freshness": builders.freshness(depths={name: {str(generation): 9} for name in names}),
        "forecasts": tuple(forecast(name, generation) for name in names) if generation else (),
        "duplication": (),
        "diversity": (),
        "drift": (),
        "inputs": {},
    }
    if generation:
        plain |= {
            "duplication": duplications(run),
            "diversity": tuple(builders.diversity(name) for name in ("all", *names)),
            "drift": tuple(
                builders.drift(name, synthetic=10.0 - generation, p_value=0.001, effect=-0.3) for name in QUANTITIES
            ),
        }
    return builders.audit(run, arm=arm, generation=generation, **(plain | changes))


def duplications(run: str) -> tuple[Duplication, Duplication]:
    """Two objects of a run's only image that are alike, one of them like a real one; and an item that is gone."""
    item, real = builders.sha(f"<i>{run}</i>"), builders.sha("r0")
    objects = builders.duplication(
        "object",
        near=30,
        near_share=builders.figure(0.3),
        examples=(NearGroup(items=(f"{item}/0", f"{builders.sha('gone')}/0"), similarity=0.991),),
        suspicious=(NearPair(synthetic=f"{item}/0", real=f"{real}/0", split="train", similarity=0.985),),
    )
    return builders.duplication("image"), objects


def forecast(name: str, generation: int) -> Forecast:
    """The class ``cat`` stays; any other halves each generation."""
    if name.startswith("cat"):
        return builders.forecast(name)
    return builders.forecast(
        name,
        boxes=tuple(80 // 2**number for number in range(generation + 1)),
        shares=tuple(0.1 / 2**number for number in range(generation + 1)),
        half_life=Figure(value=1.0, low=0.8, high=1.4, samples=generation + 1),
        generation=Figure(value=generation + 1.0, low=float(generation), high=generation + 3.0, samples=1000),
        warning=True,
    )


def comparison(figure: str = "recall of lynx", **changes: object) -> Test:
    """A loss of 0.6 in the recall of the rare class."""
    plain: dict[str, object] = {
        "baseline": "base", "method": "exact McNemar", "base": 0.9, "run": 0.3, "loss": 0.6, "low": 0.4, "high": 0.75,
        "p_value": 1e-6, "level": 0.02, "confirmed": True, "margin": 0.1, "lost": 24, "gained": 0, "samples": SUPPORT,
        "outcome": "loss", "settle": None,
    }  # fmt: skip
    return Test(figure=figure, **(plain | changes))  # type: ignore[arg-type]


def diagnosis(*supported: str) -> tuple[Finding, ...]:
    """The four findings, of which these are supported."""
    return tuple(
        Finding(
            name=name,
            supported=name in supported,
            evidence=(f"a figure that speaks {'for' if name in supported else 'against'} {name}",),
            advice=f"what to do about {name}.",
        )
        for name in ("collapse", "overfitting", "forgetting", "mode collapse")
    )


def judgement(
    run: str = "wild-1",
    arm: str = "wild",
    generation: int = 1,
    verdict: Verdict = Verdict.COLLAPSING,
    **changes: object,
) -> Judgement:
    """A verdict."""
    plain: dict[str, object] = {
        "reason": f"the reason of {run}.",
        "tests": (comparison("mAP50-95", lost=None, gained=None, outcome="no loss", loss=0.0, run=0.9), comparison()),
        "trends": (Trend(figure="mAP50-95", values=(0.7, 0.6), slope=-0.1, p_value=0.5, level=0.001, falling=False),),
        "schedule": "confirm",
        "horizon": 30,
        "seeds": (1, 2),
        "notes": ("the variance between trainings is not in the intervals",),
        "warnings": (EarlyWarning(name="vanishing-class", text="a class is about to vanish"),),
        "diagnosis": diagnosis("collapse") if verdict is Verdict.COLLAPSING else diagnosis(),
        "lost_boxes": {},
    }
    return Judgement(run=run, arm=arm, generation=generation, verdict=verdict, **(plain | changes))  # type: ignore[arg-type]


def settings(arms: Mapping[str, Mapping[str, object]], runs: Mapping[str, Mapping[str, object]]) -> Params:
    """The project's own params.yaml with other arms and runs."""
    return params.parse(settings_text(arms, runs))


def settings_text(arms: Mapping[str, Mapping[str, object]], runs: Mapping[str, Mapping[str, object]]) -> str:
    """The text of the project's own params.yaml with other arms and runs."""
    value = yaml.safe_load((ROOT / paths.PARAMS).read_text())
    value["arms"], value["runs"] = dict(arms), dict(runs)
    value["report"] = {"examples": 2, "lost_boxes": 2}
    return yaml.safe_dump(value, sort_keys=False, allow_unicode=True)


def two_arms(
    tame: str = "tame", wild: str = "wild"
) -> tuple[dict[str, dict[str, object]], dict[str, dict[str, object]]]:
    """An arm with one run and an arm with two."""
    arms: dict[str, dict[str, object]] = {
        tame: {"policy": "accumulate", "ratio": 0.5},
        wild: {"policy": "replace", "ratio": 1.0},
    }
    runs: dict[str, dict[str, object]] = {
        "tame-1": {"arm": tame, "generation": 1, "previous": "base"},
        "wild-1": {"arm": wild, "generation": 1, "previous": "base"},
        "wild-2": {"arm": wild, "generation": 2, "previous": "wild-1"},
    }
    return arms, runs


def history(common: str = "cat", rare: str = "lynx", *, tame: str = "tame", wild: str = "wild") -> History:
    """A healthy arm, and one that lost its rare class: its recall and all its training boxes."""
    arms, runs = two_arms(tame, wild)
    read, judged = records(common, rare, tame=tame, wild=wild)
    return reporting.arrange(settings(arms, runs), read, judged)


def records(common: str, rare: str, *, tame: str, wild: str) -> tuple[dict[str, Audit], dict[str, Judgement]]:
    """The audits and verdicts of :func:`history`, by run."""

    def classes(found: int, boxes: int) -> tuple[ClassFigures, ...]:
        return (class_figures(common, 39, rare=False, boxes=90), class_figures(rare, found, boxes=boxes))

    read = {
        "base": audit(classes=classes(36, 10)),
        "tame-1": audit("tame-1", tame, 1, classes=classes(36, 20), real_images=5, lineage={"0": 5, "1": 5}),
        "wild-1": audit("wild-1", wild, 1, classes=classes(24, 4)),
        "wild-2": audit("wild-2", wild, 2, classes=classes(12, 0), map50_95=Figure(value=0.4, low=0.3, high=0.5)),
    }
    lost = {rare: (f"{builders.sha('t0')}/0", f"{builders.sha('t1')}/0")}
    tests = (comparison("mAP50-95", lost=None, gained=None, run=0.4), comparison(f"recall of {rare}"))
    fine = tuple(comparison(one.figure, lost=one.lost, outcome="no loss", run=0.9, loss=0.0) for one in tests)
    judged = {
        "tame-1": judgement("tame-1", tame, 1, Verdict.HEALTHY, tests=fine),
        "wild-1": judgement("wild-1", wild, 1, Verdict.INCONCLUSIVE, tests=(fine[0], comparison(
            f"recall of {rare}", outcome="open", run=0.6, loss=0.3, settle=90))),
        "wild-2": judgement("wild-2", wild, 2, tests=tests, lost_boxes=lost, reason=f"recall of {rare} fell."),
    }  # fmt: skip
    return read, judged


def project(folder: Path, common: str = "cat", rare: str = "lynx", *, tame: str = "tame", wild: str = "wild") -> None:
    """Write into the folder, which must be the working directory, all that the report reads."""
    arms, runs = two_arms(tame, wild)
    files.write_text(folder / paths.PARAMS, settings_text(arms, runs))
    read, judged = records(common, rare, tame=tame, wild=wild)
    real = [_image(builders.row(f"r{number}"), number) for number in range(3)]
    test = [_image(builders.row(f"t{number}", split="test", boxes=((1, 1),)), number) for number in range(2)]
    manifest.write(paths.VERIFIED_HELD_OUT, test)
    boxes = detections.labelled_boxes(test)
    boxes["found"] = True
    for name, one in read.items():
        here = RunPaths(name)
        manifest.write(here.real_manifest, real)
        audits.write(here.figures, one)
        detections.write(here.boxes, boxes)
        seen = boxes.assign(split="test", class_id=0, confidence=0.8).iloc[:1]
        detections.write(here.predictions, seen[list(detections.PREDICTION_COLUMNS)])
        if name == paths.BASE:
            continue
        judgements.write(here.gate, judged[name])
        made = {"run": name, "path": f"{here.synthetic}/images/{name}.png", "generation": one.generation}
        manifest.write(here.synthetic_manifest, [_image(builders.synthetic_row(f"<i>{name}</i>", **made), 7)])


def _image(row: Row, seed: int) -> Row:
    """Put the image of a row, and its labels, on the disk."""
    file = Path(row.path)
    files.write_bytes(file, images.encode_png(builders.picture(seed, width=row.width, height=row.height)))
    files.write_text(row.label_path, labels.format_boxes([builders.box(class_id) for class_id, _ in row.boxes]))
    return row
