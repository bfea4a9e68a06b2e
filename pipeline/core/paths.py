"""Every path, once; all are relative to the project's folder, which is the working directory of every stage."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

PARAMS = Path("params.yaml")
LEDGER = Path("data/ledger.csv")
TEST_LOCK = Path("data/test.lock")
IMPORTS = Path("data/imports")  # lists of the imports that the ledger accepts
CORRECTIONS = Path("data/corrections")  # labels that people corrected, by their digest

MANIFEST = "manifest.parquet"  # in the folder of whoever made it

CODE = Path("data/code")  # code

REAL = Path("data/real")  # ingest
REAL_IMAGES = REAL / "images"
REAL_LABELS = REAL / "labels"
REAL_MANIFEST = REAL / MANIFEST
REAL_DECISIONS = REAL / "decisions.csv"
REAL_CLASSES = REAL / "classes.json"

VERIFIED = Path("data/verified")  # verify
VERIFIED_MANIFEST = VERIFIED / MANIFEST
VERIFIED_DECISIONS = VERIFIED / "decisions.csv"
VERIFIED_TIMES = VERIFIED / "times.csv"
VERIFIED_SUMMARY = VERIFIED / "summary.json"
VERIFIED_HELD_OUT = VERIFIED / "held-out.parquet"  # val and test
VERIFIED_TRAINING = VERIFIED / "training"  # what runs may train on: today, and as of each pin of params.yaml
VERIFIED_IMAGES = VERIFIED / "images"  # those whose labels were corrected

BASE = "base"  # the run of generation 0
PIN = 12  # characters of a ledger row's hash, by which it is named

REVIEW = Path("data/review")  # review
REVIEW_SUMMARY = REVIEW / "summary.json"

REPORTS = Path("reports")  # report
REPORT_PAGE = REPORTS / "index.html"
REPORT_SUMMARY = REPORTS / "summary.md"
REPORT_METRICS = REPORTS / "metrics.json"
REPORT_PLOTS = REPORTS / "plots"
REPORT_PICTURE = REPORTS / "rare-recall.svg"

STATE = Path(".tailwatch")  # locks and settings of libraries, never tracked
PROJECT_LOCK = STATE / "project.lock"  # a night has it alone, stages share it
STAGES_LOCK = STATE / "stages.lock"  # held by the stages of a night
AT_WORK = STATE / "at-work"  # who runs, and each `dvc repro` that started a stage
NIGHTS = STATE / "nights"  # what each night did
TRAIN_LOCK = STATE / "train.lock"
TRAIN_SCRATCH = STATE / "train"  # used under the lock
LEDGER_LOCK = STATE / "ledger.lock"
LEDGER_INDEX = STATE / "ledger.sqlite"  # where each image's decisions stand in the ledger; made anew at need
DECIDING_LOCK = STATE / "deciding.lock"
PORTRAITS = STATE / "portraits"  # of synthetic images, by run: what later ones are recognised by
PORTRAITS_INDEX = PORTRAITS / "index"  # through which they are searched; made anew at need
PORTRAITS_LOCK = STATE / "portraits.lock"
LEAKS = STATE / "leaks.msgpack"  # pairs of real images that show the same; made anew at need
OBJECTS = STATE / "objects"  # what was seen of real images and of the objects on them; made anew at need
PLANTS = STATE / "plants.json"  # items of the review queue whose labels were broken on purpose
GENERATING = STATE / "generate"  # what generators of unfinished runs have drawn and learned so far
ULTRALYTICS = STATE / "ultralytics"
PLUGINS = STATE / "plugins"  # of the App: links to the project's and to the user's
CURRENT = Path("models/current")  # the weights to use, by arm
DVC_LOCK = Path("dvc.lock")
EXPORTS = Path("exports")  # what people export from the App, never tracked
DATABASE = Path(".fiftyone")


DATA = Path("data")
HISTORY = DATA / "history"  # of retired runs, in git
ANCHORS = DATA / "anchors.dvc"  # what the runs in params.yaml read of retired ones
RESTORED = DATA / ".dvcignore"  # files of retired runs that a person wants to see: no part of the pipeline
AUDITS = DATA / "audit"
GATES = DATA / "gate"
MIXES = DATA / "mix"
GENERATED = DATA / "generate"
GENERATORS = Path("generators")  # the user's own
RUN_STAGES = ("generate", "mix", "train", "audit", "confirm", "gate")  # stages that each run of params.yaml has


def code_of(stage: str) -> Path:
    """What code a stage runs: the digest of each file, by its path."""
    return CODE / f"{stage}.json"


@dataclass(frozen=True, slots=True)
class TrainingPaths:
    """What `verify` hands to the runs of one pin: the beginning of a ledger row's hash; None is today."""

    pin: str | None = None

    @property
    def folder(self) -> Path:
        """All of it."""
        return VERIFIED_TRAINING / (self.pin[:PIN] if self.pin else "now")

    @property
    def real(self) -> Path:
        """The verified real training images, one row each."""
        return self.folder / "real.parquet"

    @property
    def times(self) -> Path:
        """When each verified image was accepted, synthetic ones too."""
        return self.folder / "times.csv"

    @property
    def synthetic(self) -> Path:
        """Standings of images that are not real."""
        return self.folder / "synthetic.csv"

    @property
    def row(self) -> Path:
        """Hash of the ledger's newest row that it rests on."""
        return self.folder / "row.json"


@dataclass(frozen=True, slots=True)
class RunPaths:
    """Where one run keeps what its stages write: one folder a stage, and in it one a run."""

    run: str

    @property
    def synthetic(self) -> Path:
        """Output of generate: images, labels, manifest."""
        return GENERATED / self.run

    @property
    def synthetic_manifest(self) -> Path:
        """One row a synthetic image of this run."""
        return self.synthetic / MANIFEST

    @property
    def mix(self) -> Path:
        """Output of mix: manifest, lists, class counts."""
        return MIXES / self.run

    @property
    def mix_manifest(self) -> Path:
        """The training images of this run, one row each."""
        return self.mix / MANIFEST

    @property
    def pool_manifest(self) -> Path:
        """The synthetic images of this run and of those it descends from."""
        return self.mix / "pool.parquet"

    @property
    def real_manifest(self) -> Path:
        """The real images that this run could train on: what its synthetic ones are held against."""
        return self.mix / "real.parquet"

    @property
    def times(self) -> Path:
        """When each verified training image of this run was accepted."""
        return self.mix / "times.csv"

    @property
    def mix_summary(self) -> Path:
        """Counts, and the row of the ledger that the mixture was made of."""
        return self.mix / "summary.json"

    @property
    def forecasts(self) -> Path:
        """Class counts of the generations so far, and what they say of the next ones."""
        return self.mix / "forecasts.json"

    @property
    def train(self) -> Path:
        """Output of train: weights, curve, summary."""
        return DATA / "train" / self.run

    @property
    def weights(self) -> Path:
        """The weights of the last step, of the first training: those that generate and label the next generation."""
        return self.weights_of(0)

    def weights_of(self, training: int) -> Path:
        """The weights of one of the run's trainings, from 0."""
        return self.train / (f"weights-{training}.pt" if training else "weights.pt")

    def curve_of(self, training: int) -> Path:
        """The training losses of one of the run's trainings, from 0."""
        return self.train / (f"curve-{training}.csv" if training else "curve.csv")

    @property
    def audit(self) -> Path:
        """Output of audit: predictions, matches, figures."""
        return AUDITS / self.run

    @property
    def predictions(self) -> Path:
        """Predicted boxes on val and test, at the low floor."""
        return self.audit / "predictions.parquet"

    @property
    def boxes(self) -> Path:
        """The labelled test boxes, and whether each was found."""
        return self.audit / "boxes.parquet"

    @property
    def replicates(self) -> Path:
        """Bootstrap replicates of mAP, one row a resample of the test images."""
        return self.audit / "replicates.csv"

    @property
    def figures(self) -> Path:
        """All figures of the audit."""
        return self.audit / "audit.json"

    @property
    def best(self) -> Path:
        """Boxes and replicates of the best run before this one, where that is not the base."""
        return self.audit / "best"

    @property
    def confirm(self) -> Path:
        """Output of confirm: a second training's matches, where the first one looks bad."""
        return DATA / "confirm" / self.run

    @property
    def gate(self) -> Path:
        """The verdict."""
        return GATES / f"{self.run}.json"

    @property
    def history(self) -> Path:
        """What stays of the run when it has left params.yaml."""
        return HISTORY / f"{self.run}.json"

    @property
    def outs(self) -> tuple[Path, ...]:
        """What its stages write, in the order of `RUN_STAGES`."""
        return (self.synthetic, self.mix, self.train, self.audit, self.confirm, self.gate)
