"""What stays of a run that has left params.yaml: its verdict, its main figures, and where its files can be had.

One file a run, `data/history/RUN.json`, kept in git; the files themselves are in the DVC cache and remote.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline.core import paths, records
from pipeline.core.audits import Audit
from pipeline.core.figures import Figure
from pipeline.core.judgements import Judgement, Verdict
from pipeline.core.paths import RunPaths
from pipeline.core.sections import Arm, Run

VERSION = 1  # of the JSON; raised with every change that an older reader would misread


@dataclass(frozen=True, slots=True, kw_only=True)
class Out:
    """One output of a stage, as dvc.lock has it.

    Attributes:
        path: relative to the project's folder.
        md5: of the file, or of the list of a folder's files; then it ends in ``.dir``.
        size: bytes.
        nfiles: files of a folder; None for a file.
    """

    path: str
    md5: str
    size: int
    nfiles: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Weights:
    """The weights of the first training: MD5 as DVC knows it, and bytes."""

    md5: str
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RetiredClass:
    """One class on the test split; the fields are those of `figures.ClassFigures`."""

    name: str
    rare: bool
    support: int
    found: int
    recall: Figure
    training_boxes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """A retired run.

    Attributes:
        version: of this format.
        run: its name.
        arm: of the run.
        generation: of the run.
        previous: the run that it descends from.
        seed: of the run, as params.yaml had it.
        policy: of the arm, with its ratio, as params.yaml had it.
        verdict: what the gate said.
        reason: why.
        warnings: names of its early warnings, each once.
        diagnosis: names of the findings that the evidence supported.
        test: digest of the test split that it was measured on.
        map50_95: with its interval.
        map50: with its interval.
        classes: in the order of their ids.
        real_images: in its training data.
        synthetic_images: in its training data.
        lineage_depth: of its deepest training image.
        images_of: runs whose synthetic images its mix names, itself included.
        weights: of its first training.
        outs: of its stages.
    """

    version: int = VERSION
    run: str
    arm: str
    generation: int
    previous: str
    seed: int
    policy: Arm
    verdict: Verdict
    reason: str
    warnings: tuple[str, ...]
    diagnosis: tuple[str, ...]
    test: str
    map50_95: Figure
    map50: Figure
    classes: tuple[RetiredClass, ...]
    real_images: int
    synthetic_images: int
    lineage_depth: int
    images_of: tuple[str, ...]
    weights: Weights
    outs: tuple[Out, ...]

    @property
    def name(self) -> str:
        """The run's name."""
        return self.run

    @property
    def rare(self) -> list[RetiredClass]:
        """The rare classes."""
        return [one for one in self.classes if one.rare]

    def out(self, path: Path) -> Out | None:
        """One of its outputs by path; None where it has no such."""
        return next((one for one in self.outs if Path(one.path) == path), None)


def record(
    run: Run,
    arm: Arm,
    audit: Audit,
    judgement: Judgement,
    *,
    images_of: Sequence[str],
    weights: Weights,
    outs: Sequence[Out],
) -> Record:
    """What is kept of a run.

    Args:
        run: as params.yaml has it.
        arm: as params.yaml has it.
        audit: its figures.
        judgement: its verdict.
        images_of: runs whose synthetic images its mix names.
        weights: of its first training.
        outs: of its stages, from dvc.lock.
    """
    return Record(
        run=audit.run,
        arm=run.arm,
        generation=run.generation,
        previous=run.previous,
        seed=run.seed,
        policy=arm,
        verdict=judgement.verdict,
        reason=judgement.reason,
        warnings=tuple(dict.fromkeys(one.name for one in judgement.warnings)),
        diagnosis=tuple(one.name for one in judgement.diagnosis if one.supported),
        test=audit.test,
        map50_95=audit.map50_95,
        map50=audit.map50,
        classes=tuple(
            RetiredClass(
                name=one.name,
                rare=one.rare,
                support=one.support,
                found=one.found,
                recall=one.recall,
                training_boxes=one.training_boxes,
            )
            for one in audit.classes
        ),
        real_images=audit.real_images,
        synthetic_images=audit.synthetic_images,
        lineage_depth=max((int(depth) for depth, number in audit.lineage.items() if number), default=0),
        images_of=tuple(sorted(set(images_of))),
        weights=weights,
        outs=tuple(sorted(outs, key=lambda one: one.path)),
    )


def write(one: Record) -> None:
    """Write a record as JSON, whole or not at all."""
    records.write(RunPaths(one.run).history, one)


def read(run: str) -> Record:
    """Read the record of a retired run.

    Raises:
        UserError: there is none, or it is of another version or damaged.
    """
    return records.read(RunPaths(run).history, Record, VERSION)


def read_all() -> dict[str, Record]:
    """All records by run: by arm, then by generation.

    Raises:
        UserError: one is of another version or damaged.
    """
    found = [records.read(path, Record, VERSION) for path in sorted(paths.HISTORY.glob("*.json"))]
    return {one.run: one for one in sorted(found, key=lambda one: (one.arm, one.generation, one.run))}


def retired(runs: Mapping[str, Run]) -> dict[str, Record]:
    """The records of runs that are not in `runs`, in the order of :func:`read_all`; one that came back is no history.

    Raises:
        UserError: one is of another version or damaged.
    """
    return {name: one for name, one in read_all().items() if name not in runs}
