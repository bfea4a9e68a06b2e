"""The real ingest, driven in a folder of its own, and what must hold whatever its source is."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from pipeline import ingest
from pipeline.core import images, labels, manifest, paths
from pipeline.core.errors import UserError
from tests.fuzz import texts
from tests.fuzz.images import plain
from tests.project import ROOT


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What ingest made of a source.

    Attributes:
        refused: the message, where it refused the whole source; None where it did not.
        decisions: the lines of the table of decisions, by column.
    """

    refused: str | None = None
    decisions: tuple[dict[str, str], ...] = ()

    def of(self, kind: str) -> list[dict[str, str]]:
        """The decisions on images, boxes or labels."""
        return [line for line in self.decisions if line["kind"] == kind]

    def reasons(self) -> str:
        """All reasons of rejections, one a line."""
        return "\n".join(line["reason"] for line in self.decisions if line["decision"] == "rejected")


def settings(project: Path, layout: str, source: str, *, max_pixels: int = 100_000_000) -> None:
    """Write a params.yaml for a source of a layout; everything may be rejected."""
    text = (ROOT / "params.yaml").read_text()
    for key, value in {"source": layout, "path": source, "max_rejected": "1.0", "max_pixels": str(max_pixels)}.items():
        start = text.index(f"\n  {key}: ") + 1
        end = text.index("\n", start)
        text = f"{text[:start]}  {key}: {value}{text[end:]}"
    (project / "params.yaml").write_text(text)


def run() -> Outcome:
    """Run the stage in the working directory, and check what must hold of every outcome."""
    try:
        ingest.main()
    except UserError as error:
        message = str(error)
        assert message
        assert len(message) < 3000
        assert message.isprintable(), message
        assert not paths.REAL.exists()
        assert not list(paths.REAL.parent.glob(".real.*"))
        return Outcome(refused=message)
    with io.StringIO(paths.REAL_DECISIONS.read_text(encoding="utf-8"), newline="") as table:
        outcome = Outcome(decisions=tuple(csv.DictReader(table, strict=True)))
    _check(outcome)
    return outcome


def _check(outcome: Outcome) -> None:
    """Nothing is dropped in silence, and what was kept is whole."""
    rows = manifest.read(paths.REAL_MANIFEST)
    classes = manifest.read_classes(paths.REAL_CLASSES)
    found = outcome.of("image")
    assert all((line["decision"] == "rejected") == bool(line["reason"]) for line in outcome.decisions)
    assert all(len(line["reason"]) < 3000 and line["reason"].isprintable() for line in outcome.decisions)
    assert len(rows) == sum(line["decision"] == "kept" for line in found)
    assert sum(row_boxes for row in rows for _, row_boxes in row.boxes) == sum(
        line["decision"] == "kept" for line in outcome.of("box")
    )
    manifest.class_counts(rows, len(classes))
    for row in rows:
        assert images.read(row.path).shape == (row.height, row.width, 3)
        labels.read(row.label_path)
    assert len(list(paths.REAL_IMAGES.iterdir())) == len(list(paths.REAL_LABELS.iterdir())) == len(rows)


def put(path: Path, content: bytes | str) -> Path:
    """Write a file and the folders above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def _yolo(source: Path, *, image: bytes | None = None, label: bytes = texts.BOX.encode()) -> None:
    put(source / "data.yaml", "names: [cat, dog, eel]\ntrain: images\n")
    put(source / "images" / "a.png", plain("PNG") if image is None else image)
    put(source / "labels" / "a.txt", label)


def _coco(source: Path) -> None:
    put(source / "instances_train.json", texts.made(texts.coco()))
    put(source / "a.png", plain("PNG"))


def _voc(source: Path) -> None:
    put(source / "Annotations" / "a.xml", texts.voc())
    put(source / "JPEGImages" / "a.png", plain("PNG"))


SOURCES: dict[str, Callable[[Path], None]] = {"yolo": _yolo, "coco": _coco, "voc": _voc}  # good ones of one image
