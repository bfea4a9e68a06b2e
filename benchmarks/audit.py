"""An audit end to end: the stages `audit` and `review` beside FiftyOne's own evaluation and Brain.

Both take the same weights and the same images, synthetic and real ones of all splits, and end with a persistent dataset
in a MongoDB that has the images, the boxes, their matches, mAP, and both find which images and which objects are near
duplicates. The peer does it as FiftyOne's documentation has it: the model applied by ultralytics to the files,
`evaluate_detections` with mAP, and Brain's `compute_similarity` and `find_duplicates` on images and on patches as
vectors of 256 grey values. The stages do beside that what an audit is: intervals, diversity, checks of lineage and
freshness, a review queue; and they lay out two runs, for the dataset is made anew for each turn, as the peer's is. Once
they begin without what earlier audits remember of the real objects, as the first audit of a project does, and once with
it, as every later one.
"""

from __future__ import annotations

import json
import shutil
import sys
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import comparing
from benchmarks.comparing import Comparison, Cost
from pipeline.core import paths
from tests.project import Project, accept, create

ROW = "audit"
RUN = "guarded-1"


def _arrange(quick: bool, params: dict[str, Any]) -> None:  # noqa: FBT001 - by partial
    if quick:
        params["ingest"]["digits"]["pages"] = {"train": 160, "val": 20, "test": 40}
        params["generate"]["images"] = 160
        params["train"]["steps"] = 120
    else:
        params["ingest"]["digits"]["pages"]["test"] = 2000
        params["train"]["steps"] = 160
    params["runs"] = {RUN: {"arm": "guarded", "generation": 1, "previous": "base"}}


def by_fiftyone() -> None:
    """The audit of a run by FiftyOne."""
    from pipeline.adapters import voxel, yolo
    from pipeline.core import images, labels, manifest, objects, params

    settings, here = params.load(), paths.RunPaths(RUN)
    size, floor = settings.train.image_size, settings.audit.confidence
    names = manifest.read_classes(paths.REAL_CLASSES)
    made, held_out = manifest.read(here.synthetic_manifest), manifest.read(paths.VERIFIED_HELD_OUT)
    fo = voxel.connect()
    import fiftyone.brain as fob
    from fiftyone.utils.ultralytics import to_detections

    dataset = fo.Dataset("peer", persistent=True, overwrite=True)
    samples, of_images, of_objects = [], [], []
    for row in [*made, *manifest.read(here.real_manifest), *held_out]:
        boxes, pixels = labels.read(row.label_path), images.read(row.path)
        truth = [
            fo.Detection(
                label=names[box.class_id],
                bounding_box=[box.x - box.width / 2, box.y - box.height / 2, box.width, box.height],
            )
            for box in boxes
        ]
        place = str(Path(row.path).absolute())
        samples.append(fo.Sample(filepath=place, tags=[row.split], truth=fo.Detections(detections=truth)))
        of_images.append(_grey(pixels))
        of_objects.append([_grey(objects.crop(pixels, box)) for box in boxes])
    ids = dataset.add_samples(samples, dynamic=False, progress=False)
    test = dataset.match_tags("test")
    yolo._ultralytics()  # noqa: SLF001 - kept off the network
    from ultralytics import YOLO

    model = YOLO(str(here.weights))
    for sample in test.iter_samples(autosave=True):
        found = model.predict(sample.filepath, imgsz=size, conf=floor, device="cpu", verbose=False)
        sample["found"] = to_detections(found[0])
    results = test.evaluate_detections("found", gt_field="truth", eval_key="peer", compute_mAP=True, progress=False)
    duplicates = {}
    by_sample = {one: np.array(some) for one, some in zip(ids, of_objects, strict=True) if some}
    for key, field, vectors in (("images", None, np.array(of_images)), ("objects", "truth", by_sample)):
        index = fob.compute_similarity(
            dataset, patches_field=field, embeddings=vectors, backend="sklearn", metric="cosine", brain_key=key,
            progress=False,
        )  # fmt: skip
        index.find_duplicates(thresh=0.005)
        duplicates[key] = len(index.duplicate_ids)
    print(json.dumps({"map50_95": results.mAP(), "duplicates": duplicates}))  # noqa: T201


def _grey(pixels: Any) -> Any:
    """256 grey values of an image or of an object."""
    import cv2

    return cv2.resize(pixels, (16, 16), interpolation=cv2.INTER_AREA).mean(axis=2).ravel()


def compare(folder: Path, *, quick: bool) -> list[Comparison]:
    """Seconds of both, start to end, the database's start included."""
    project = create(folder / "project", partial(_arrange, quick))
    accept(project)
    done = project.run("dvc", "repro", timeout=1500)
    if done.code:
        sys.exit(done.output)
    ways = {"first": partial(_first, project), "later": partial(_later, project), "peer": partial(_peer, project)}
    found = comparing.in_turns(ways, turns=2)
    mine = json.loads((project.folder / f"data/audit/{RUN}/audit.json").read_text())["map50_95"]["value"]
    theirs = found["peer"][0].told["map50_95"]
    pages = 40 if quick else 2000
    sys.stderr.write(f"  mAP50-95: {mine:.4f} here, {theirs:.4f} by FiftyOne\n")
    return [
        Comparison(
            row=ROW, what=f"audit and dataset, {pages:,} test images{what}", unit="s",
            peer="FiftyOne's evaluation and Brain", wanted=0.2, ours=[one.seconds for one in found[way]],
            theirs=[one.seconds for one in found["peer"]], ours_mb=comparing.peak(found[way]),
            theirs_mb=comparing.peak(found["peer"]),
        )
        for way, what in (("later", ""), ("first", ", the project's first"))
    ]  # fmt: skip


def _first(project: Project) -> Cost:
    shutil.rmtree(project.folder / paths.OBJECTS, ignore_errors=True)
    return _later(project)


def _later(project: Project) -> Cost:
    shutil.rmtree(project.folder / paths.DATABASE)
    audit, review = (
        comparing.python("-m", f"pipeline.{name}", *more, folder=project.folder, PYTHONPATH="")
        for name, more in (("audit", ["--run", RUN]), ("review", []))
    )
    return Cost(
        seconds=audit.seconds + review.seconds,
        processor=audit.processor + review.processor,
        peak_mb=max(audit.peak_mb, review.peak_mb),
        told={},
    )


def _peer(project: Project) -> Cost:
    return comparing.python("-m", "benchmarks.audit", folder=project.folder)


if __name__ == "__main__":
    by_fiftyone()
