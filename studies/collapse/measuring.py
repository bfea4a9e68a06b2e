"""What is kept of a base or a cell: a few figures a generation, small enough for a table."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline.chains.inputs import key as digest_of
from pipeline.core import audits, files, manifest, records
from pipeline.core.audits import Audit
from pipeline.core.figures import Figure
from pipeline.core.paths import RunPaths
from studies.collapse.places import MEASURED

VERSION = 1  # of the JSON; raised with every change that an older reader would misread


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassMeasured:
    """One class in one generation.

    Attributes:
        name: of the class.
        rare: whether it is rare in the base's training data.
        support: labelled test boxes.
        recall: of them found at the operating point, with the Clopper-Pearson interval.
        ap50_95: average precision.
        training_boxes: in the generation's training data.
    """

    name: str
    rare: bool
    support: int
    recall: Figure
    ap50_95: float | None
    training_boxes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """The generation's synthetic images beside the real ones; None where there is too little to say.

    Attributes:
        exact: images that repeat an earlier one's pixels.
        near_images: share of images near an earlier one.
        near_objects: the same of cut-out objects.
        copied_objects: share of objects near a real training object.
        vendi: Vendi score of the objects over that of as many real ones.
        coverage: share of real objects with a synthetic one in their neighbourhood.
        lost_tail: share of real objects with no synthetic neighbour.
    """

    exact: int | None
    near_images: float | None
    near_objects: float | None
    copied_objects: float | None
    vendi: float | None
    coverage: float | None
    lost_tail: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Generation:
    """One generation of a cell, or a base as generation 0.

    Attributes:
        number: from 0.
        map50_95: on the test split, with its bootstrap interval over images.
        map50: the same at IoU 0.50.
        rare_recall: mean recall of the rare classes; None where none is rare.
        classes: in the order of their ids.
        real_images: in the training data.
        synthetic_images: in the training data.
        depth: mean lineage depth of the training data.
        made: its synthetic images; None where they do not matter.
        seconds: that its stages took.
        processor: seconds of processor time.
        digest: of training data and predictions: equal for equal results.
    """

    number: int
    map50_95: Figure
    map50: Figure
    rare_recall: float | None
    classes: tuple[ClassMeasured, ...]
    real_images: int
    synthetic_images: int
    depth: float
    made: Made | None
    seconds: float
    processor: float
    digest: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """A base or a cell.

    Attributes:
        version: of this format.
        name: of the cell; empty for a base.
        seed: of its trainings.
        key: digest of all that it rests on.
        generations: the base's one, or those after it.
    """

    version: int = VERSION
    name: str
    seed: int
    key: str
    generations: tuple[Generation, ...]

    @property
    def digest(self) -> str:
        """Equal for equal results, whatever time they took."""
        return digest_of([one.digest for one in self.generations])


def read(folder: Path) -> Measured:
    """What was kept.

    Raises:
        UserError: it is missing or damaged.
    """
    return records.read(folder / MEASURED, Measured, VERSION)


def measure(folder: Path, run: str, *, seconds: float, processor: float, synthetic: bool) -> Generation:
    """Read the figures of one run from its folder.

    Args:
        folder: of the base or cell.
        run: its name there.
        seconds: that it took.
        processor: seconds of processor time.
        synthetic: whether its synthetic images are of interest.

    Raises:
        UserError: a file is missing or damaged.
    """
    here = RunPaths(run)
    audit = audits.read(folder / here.figures)
    told = [here.mix_manifest, here.predictions, *([here.synthetic_manifest] if synthetic else [])]
    rows = manifest.read(folder / here.mix_manifest)
    return Generation(
        number=audit.generation,
        map50_95=audit.map50_95,
        map50=audit.map50,
        rare_recall=_mean([one.recall.value for one in audit.rare]),
        classes=tuple(
            ClassMeasured(
                name=one.name, rare=one.rare, support=one.support, recall=one.recall, ap50_95=one.ap50_95.value,
                training_boxes=one.training_boxes,
            )
            for one in audit.classes
        ),
        real_images=audit.real_images,
        synthetic_images=audit.synthetic_images,
        depth=round(math.fsum(row.lineage_depth for row in rows) / len(rows), 6),
        made=_made(audit) if synthetic else None,
        seconds=round(seconds, 1),
        processor=round(processor, 1),
        digest=digest_of([files.sha256_file(folder / one) for one in told]),
    )  # fmt: skip


def _made(audit: Audit) -> Made:
    level = {one.level: one for one in audit.duplication}
    whole = next((one for one in audit.diversity if one.name == "all"), None)
    images, objects = level.get("image"), level.get("object")
    ours, real = (whole.vendi_synthetic.value, whole.vendi_real.value) if whole else (None, None)
    return Made(
        exact=images.exact if images else None,
        near_images=images.near_share.value if images else None,
        near_objects=objects.near_share.value if objects else None,
        copied_objects=objects.copy_share.value if objects else None,
        vendi=round(ours / real, 10) if ours is not None and real else None,
        coverage=whole.coverage.value if whole else None,
        lost_tail=whole.lost_tail.value if whole else None,
    )


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return round(math.fsum(known) / len(known), 10) if known else None
