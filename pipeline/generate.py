"""Fit a generator to the previous generation's training data, draw new images and label them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

from pipeline.core import copy_paste, files, images, labels, manifest, mixture, params, paths, rng, stage
from pipeline.core.manifest import Row
from pipeline.core.paths import RunPaths
from pipeline.core.synthesis import Drawn, Example, Fit

GENERATORS: dict[str, Fit] = {"mixture": mixture.fit, "copy_paste": copy_paste.fit}


def main(run: str) -> None:
    """Fit a generator to the previous generation's training data, draw new images and label them."""
    settings = params.load()
    chosen = settings.run(run)
    here, previous = RunPaths(run), RunPaths(chosen.previous)
    parents = manifest.read(previous.mix_manifest)
    examples = [
        Example(image_id=row.image_id, path=Path(row.path), boxes=tuple(labels.read(row.label_path))) for row in parents
    ]
    seed = (run, str(chosen.seed))
    draw = GENERATORS[settings.generate.generator](
        examples, settings.generate, rng.generator(settings.seed, "fit", *seed)
    )
    with files.fresh_folder(here.synthetic) as folder:
        (folder / "images").mkdir()
        (folder / "labels").mkdir()
        source = rng.generator(settings.seed, "draw", *seed)
        drawn: list[Drawn] = []
        for number in range(settings.generate.images):
            page = draw(source)
            mark = _provenance(page, run, settings)
            target = folder / "images" / f"{_stem(run, number)}.png"
            target.write_bytes(images.encode_png(page.pixels, {images.SYNTHETIC_MARK: mark}))
            drawn.append(Drawn(pixels=page.pixels[:0], boxes=page.boxes, parents=page.parents))
        boxes = [list(page.boxes) for page in drawn]
        if settings.generate.labels == "detector":
            listed = [folder / "images" / f"{_stem(run, number)}.png" for number in range(len(drawn))]
            boxes = _pseudo_labels(previous.weights, listed, settings)
        depth = {row.image_id: row.lineage_depth for row in parents}
        rows = []
        for number, (page, found) in enumerate(zip(drawn, boxes, strict=True)):
            target = folder / "images" / f"{_stem(run, number)}.png"
            manifest.label_path(target).write_text(labels.format_boxes(found))
            rows.append(_row(run, chosen.generation, target, page, found, depth, here))
        manifest.write(folder / here.synthetic_manifest.name, rows)
    _summarise(run, drawn, boxes)


def _stem(run: str, number: int) -> str:
    return f"{run}-{number:06d}"


def _provenance(page: Drawn, run: str, settings: params.Params) -> str:
    chosen = settings.run(run)
    return json.dumps(
        {
            "run": run,
            "generation": chosen.generation,
            "generator": settings.generate.generator,
            "labels": settings.generate.labels,
            "seed": [settings.seed, chosen.seed],
            "parents": page.parents,
        }
    )


def _row(
    run: str, generation: int, image: Path, page: Drawn, boxes: list[labels.Box], depth: dict[str, int], here: RunPaths
) -> Row:
    pixels = images.read(image)
    height, width = pixels.shape[:2]
    return Row(
        image_id=hashlib.sha256(f"{width}\n".encode() + pixels.tobytes()).hexdigest(),
        name=image.stem,
        path=str(here.synthetic / "images" / image.name),
        split="train",
        origin="synthetic",
        generation=generation,
        run=run,
        parents=page.parents,
        lineage_depth=1 + max(depth[parent] for parent in page.parents),
        human_verified=False,
        label_digest=labels.digest(boxes),
        width=width,
        height=height,
        boxes=manifest.count_boxes(boxes),
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


def _summarise(run: str, drawn: Sequence[Drawn], boxes: Sequence[Sequence[labels.Box]]) -> None:
    names = manifest.read_classes(paths.REAL_CLASSES)
    lines = []
    for class_id, name in enumerate(names):
        before = sum(box.class_id == class_id for page in drawn for box in page.boxes)
        after = sum(box.class_id == class_id for found in boxes for box in found)
        lines.append(f"{name} {before} drawn, {after} labelled")
    stage.report(f"generate {run}: {len(drawn)} images; " + "; ".join(lines))


if __name__ == "__main__":
    stage.start(main)
