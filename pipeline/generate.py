"""Fit a generator to the previous generation's training data, draw new images and label them."""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline.adapters.drawing import Drawing, Identity, Job
from pipeline.core import drawn_store, files, images, labels, manifest, params, paths, portraits, stage
from pipeline.core.errors import UserError
from pipeline.core.manifest import Row
from pipeline.core.params import Params
from pipeline.core.paths import RunPaths
from pipeline.core.synthesis import Drawn, Example, Task

_SAME = 20  # images after which a generator that gives the same one always is stopped
_FEW = 3  # objects under which a class has next to nothing to learn from


@dataclass(frozen=True, slots=True, kw_only=True)
class _Page:
    """An image that is written: all of it but the pixels."""

    name: str
    image_id: str
    size: tuple[int, int]
    boxes: tuple[labels.Box, ...]
    parents: tuple[str, ...]


def main(run: str) -> None:
    """Fit a generator to the previous generation's training data, draw new images and label them."""
    settings = params.load()
    chosen = settings.run(run)
    here, previous = RunPaths(run), RunPaths(chosen.previous)
    parents = manifest.read(previous.mix_manifest)
    names = manifest.read_classes(paths.REAL_CLASSES)
    depth = {row.image_id: row.lineage_depth for row in parents}
    job = _job(run, settings, parents, names)
    _say_few(run, job.examples, names)
    with files.fresh_folder(here.synthetic) as folder:
        (folder / "images").mkdir()
        (folder / "labels").mkdir()
        with Drawing(job) as artist:
            identity = artist.identity
            scratch = drawn_store.folder(paths.GENERATING / run, _inputs(job, identity))
            pages = _write_images(folder, _drawn(artist, scratch, job.settings.images), job, identity)
        found = [list(page.boxes) for page in pages]
        if settings.generate.labels == "detector":
            found = _pseudo_labels(
                previous.weights, [folder / "images" / f"{page.name}.png" for page in pages], settings
            )
        rows = []
        for page, boxes in zip(pages, found, strict=True):
            target = here.synthetic / "images" / f"{page.name}.png"
            (folder / "labels" / manifest.label_path(target).name).write_text(labels.format_boxes(boxes))
            deepest = max((depth[parent] for parent in page.parents), default=job.task.depth)
            row = _row(page, target, boxes, job.task, identity)
            rows.append(dataclasses.replace(row, lineage_depth=1 + deepest))
        manifest.write(folder / here.synthetic_manifest.name, rows)
    shutil.rmtree(paths.GENERATING / run, ignore_errors=True)
    _summarise(run, pages, found, names)


def _job(run: str, settings: Params, parents: Sequence[Row], names: Sequence[str]) -> Job:
    chosen = settings.run(run)
    sides = [side for row in parents for side in (row.width, row.height)]
    if not sides:
        raise UserError(
            f"generate {run}: {RunPaths(chosen.previous).mix_manifest} has no images, so there is nothing to learn "
            f"from. Look at what the arm {chosen.arm} left of them."
        )
    task = Task(
        run=run,
        arm=chosen.arm,
        generation=chosen.generation,
        classes=tuple(names),
        depth=max(row.lineage_depth for row in parents),
        device=settings.train.device,
        scratch=Path(),
    )
    return Job(
        examples=tuple(
            Example(image_id=row.image_id, path=Path(row.path), boxes=tuple(labels.read(row.label_path)))
            for row in parents
        ),
        settings=settings.generate,
        task=task,
        seed=settings.seed,
        names=(run, str(chosen.seed)),
        sides=(min(sides), max(sides)),
    )


def _inputs(job: Job, identity: Identity) -> dict[str, object]:
    """All that decides what is drawn; a run that was cut off goes on only where none of it has changed."""
    examples = [(example.image_id, labels.digest(example.boxes)) for example in job.examples]
    return {
        "examples": examples,
        "settings": dataclasses.asdict(job.settings),
        "generator": dataclasses.asdict(identity),
        "task": dataclasses.asdict(job.task),
        "seed": [job.seed, *job.names],
    }


def _drawn(artist: Drawing, scratch: Path, count: int) -> Iterator[Drawn]:
    """All images in the order of their numbers; those that come in batches are kept until the run is finished."""
    size = artist.fit(scratch)
    if size is None:
        yield from artist.one_by_one()
        return
    for first in range(0, count, size):
        numbers = range(first, min(first + size, count))
        kept = [drawn_store.load(scratch, number) for number in numbers] if drawn_store.has(scratch, numbers) else []
        pages = [page for page in kept if page is not None]
        if len(pages) < len(numbers):
            pages = artist.batch(numbers)
            for number, page in zip(numbers, pages, strict=True):
                drawn_store.save(scratch, number, page)
        yield from pages


def _write_images(folder: Path, drawn: Iterator[Drawn], job: Job, identity: Identity) -> list[_Page]:
    pages: list[_Page] = []
    seen: set[str] = set()
    for number, page in enumerate(drawn):
        name = f"{job.task.run}-{number:06d}"
        mark = _provenance(page, job, identity)
        (folder / "images" / f"{name}.png").write_bytes(images.encode_png(page.pixels, {images.SYNTHETIC_MARK: mark}))
        height, width = page.pixels.shape[:2]
        image_id = portraits.pixel_digest(page.pixels)
        pages.append(_Page(name=name, image_id=image_id, size=(width, height), boxes=page.boxes, parents=page.parents))
        seen.add(image_id)
        if len(seen) == 1 and 1 < len(pages) == min(_SAME, job.settings.images):
            raise UserError(
                f"generator {identity.name}: image {number} and all before it are the same, pixel by pixel; wanted "
                "images that differ. Draw from the random numbers that it is given; nothing was half written."
            )
    return pages


def _provenance(page: Drawn, job: Job, identity: Identity) -> str:
    return json.dumps(
        {
            "run": job.task.run,
            "generation": job.task.generation,
            "generator": identity.name,
            "generator_version": identity.version,
            "labels": job.settings.labels,
            "seed": [job.seed, int(job.names[1])],
            "parents": page.parents,
            **({"details": dict(page.details)} if page.details else {}),
        }
    )


def _row(page: _Page, image: Path, boxes: Sequence[labels.Box], task: Task, identity: Identity) -> Row:
    """The image's row, as if its parents were real."""
    return Row(
        image_id=page.image_id,
        name=image.stem,
        path=str(image),
        split="train",
        origin="synthetic",
        generation=task.generation,
        run=task.run,
        parents=page.parents,
        lineage_depth=1,
        human_verified=False,
        label_digest=labels.digest(boxes),
        width=page.size[0],
        height=page.size[1],
        boxes=manifest.count_boxes(boxes),
        generator=identity.name,
        generator_version=identity.version,
    )


def _pseudo_labels(weights: Path, listed: Sequence[Path], settings: params.Params) -> list[list[labels.Box]]:
    """What the previous run's detector finds, at the confidence floor."""
    from pipeline.adapters import yolo

    found = yolo.predict(
        weights,
        listed,
        image_size=settings.train.image_size,
        confidence=settings.generate.confidence,
        device=settings.train.device,
    )
    result = []
    for path, prediction in zip(listed, found, strict=True):
        height, width = images.read(path).shape[:2]
        boxes = []
        for class_id, corners in zip(prediction.classes, prediction.boxes, strict=True):
            left, top, right, bottom = (float(corner) for corner in corners)
            if min(right, width) - max(left, 0) >= 1 and min(bottom, height) - max(top, 0) >= 1:
                fractions = (left / width, top / height, right / width, bottom / height)
                boxes.append(labels.from_corners(int(class_id), fractions, tolerance=0.49))
        result.append(boxes)
    return result


def _say_few(run: str, examples: Sequence[Example], names: Sequence[str]) -> None:
    """Say which classes have next to nothing that a generator could learn from."""
    counts = Counter(box.class_id for example in examples for box in example.boxes)
    few = [f"{name} {counts[class_id]}" for class_id, name in enumerate(names) if counts[class_id] < _FEW]
    if few:
        stage.report(f"generate {run}: WARNING: too few objects to learn a class from: {', '.join(few)}")


def _summarise(run: str, pages: Sequence[_Page], boxes: Sequence[Sequence[labels.Box]], names: Sequence[str]) -> None:
    lines = []
    for class_id, name in enumerate(names):
        before = sum(box.class_id == class_id for page in pages for box in page.boxes)
        after = sum(box.class_id == class_id for found in boxes for box in found)
        lines.append(f"{name} {before} drawn, {after} labelled")
    stage.report(f"generate {run}: {len(pages)} images; " + "; ".join(lines))


if __name__ == "__main__":
    stage.start(main)
