"""What `tailwatch ratio` is to do: settings and data checked before a minute is spent, and what it will cost."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from pipeline.chains import inputs, stages, steps
from pipeline.core import (
    bounded,
    cores,
    manifest,
    params,
    paths,
    plain_yaml,
    ratio_judging,
    ratio_records,
    ratio_search,
)
from pipeline.core.errors import UserError
from pipeline.core.params import Params
from pipeline.core.paths import TrainingPaths
from pipeline.core.ratio_judging import Rule
from pipeline.core.ratio_records import Level, Question
from pipeline.core.schema import suggestion

WORK = paths.STATE / "ratio"  # images and weights: the bulk, which may be deleted at any time
SHARES = (0.75, 0.5, 0.35, 0.25, 0.15, 0.1, 0.05)  # about evenly on a logarithmic scale
PREFERRED = "guarded"  # the arm whose policy is tried where none is named


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What a person asks for; None is the project's own.

    Attributes:
        arm: whose policy is tried.
        questions: one or both.
        shares: of real images, each in [0, 1).
        generations: of each chain.
        min_seeds: before the first look at a level.
        max_seeds: of a level.
        map_margin: loss of mAP50-95 that matters.
        recall_margin: loss of recall of a rare class that matters.
    """

    arm: str | None = None
    questions: tuple[Question, ...] = ("share", "number")
    shares: tuple[float, ...] = SHARES
    generations: int = 2
    min_seeds: int = 2
    max_seeds: int = 4
    map_margin: float | None = None
    recall_margin: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What is to be done.

    Attributes:
        settings: the project's.
        value: the same as plain values, as every folder begins with them.
        arm: whose policy is tried.
        questions: in their order.
        levels: the grid of each question.
        total: training images at every level: as many as there are verified real ones.
        generations: of each chain.
        rule: margins and seeds.
        rare: rare classes that are tested, by id.
        untestable: rare classes with too few test boxes, with their number.
        needed: test boxes that a rare class needs.
        test: test images.
        threads: cores of a training.
        data: digest of the real images and their labels.
        base_inputs: digest of settings and code of a base's stages.
        chain_inputs: the same of a chain's.
    """

    settings: Params
    value: Mapping[str, Any]
    arm: str
    questions: tuple[Question, ...]
    levels: Mapping[Question, tuple[Level, ...]]
    total: int
    generations: int
    rule: Rule
    rare: Mapping[int, str]
    untestable: Mapping[str, int]
    needed: int
    test: int
    threads: int
    data: str
    base_inputs: str
    chain_inputs: str

    @property
    def policy(self) -> str:
        """Of the arm."""
        return self.settings.arms[self.arm].policy

    def chain(self, question: Question) -> int:
        """Trainings of one level with one seed, without the reference's."""
        return self.generations + (question == "number")

    def least(self) -> int:
        """Trainings of the smallest comparison: one level of the first question."""
        return self.rule.min_seeds * (1 + self.chain(self.questions[0]))

    def most(self, *, tests: bool = True) -> int:
        """Trainings if every test takes all seeds; of the whole grid where not only tests count."""
        return self.rule.max_seeds * (
            1 + sum(self._tests(one, tests=tests) * self.chain(one) for one in self.questions)
        )

    def few(self) -> int:
        """Trainings if every test is clear after the first look."""
        return self.rule.min_seeds * (1 + sum(self._tests(one, tests=True) * self.chain(one) for one in self.questions))

    def _tests(self, question: Question, *, tests: bool) -> int:
        grid = len(self.levels[question])
        return ratio_search.most_tests(grid) if tests else grid

    def words(self) -> str:
        """What decides the answer beside the data, in a line."""
        shares = ", ".join(f"{one.share:g}" for one in self.levels[self.questions[0]])
        return (
            f"{self.arm}, {' and '.join(self.questions)}, shares {shares}, {self.generations} generations, "
            f"{self.rule.min_seeds} to {self.rule.max_seeds} seeds, alpha {self.rule.alpha:g}, margins "
            f"{self.rule.map_margin:g} of mAP50-95 and {self.rule.recall_margin:g} of recall"
        )


def plan(wanted: Wanted) -> Plan:
    """Check settings and data.

    Raises:
        UserError: there is no such arm, no verified image, nothing to test on, a share or a margin is out of range, or
            the generator cannot make chains of its own.
    """
    settings = params.load()
    arm = _arm(wanted.arm, settings)
    if settings.generate.generator == "folder":
        raise UserError(
            "generate.generator is `folder`: images that another tool made cannot answer for other shares of real "
            "ones. Set a generator that draws, such as mixture, in params.yaml."
        )
    _check_shares(wanted)
    rule = Rule(
        min_seeds=wanted.min_seeds, max_seeds=wanted.max_seeds, alpha=settings.gate.alpha,
        map_margin=settings.gate.map_margin if wanted.map_margin is None else wanted.map_margin,
        recall_margin=settings.gate.recall_margin if wanted.recall_margin is None else wanted.recall_margin,
        levels=len(set(wanted.shares)),
    )  # fmt: skip
    real, test, names = _data()
    grid = ratio_records.levels(wanted.shares, len(real))
    levels: dict[Question, tuple[Level, ...]] = {
        "share": grid, "number": tuple(one for one in grid if one.real > 0)
    }  # fmt: skip
    needed = ratio_judging.boxes_needed(rule, alpha=_first_alpha(rule, len(grid)))
    rare, untestable = _rare(settings, real, test, names, needed)
    value = _plain(arm, total=len(real))
    return Plan(
        settings=settings, value=value, arm=arm, questions=wanted.questions, levels=levels, total=len(real),
        generations=wanted.generations, rule=rule, rare=rare, untestable=untestable, needed=needed, test=len(test),
        threads=cores.present(), data=inputs.key(*(inputs.tree(one) for one in _FILES)),
        base_inputs=inputs.key(inputs.collect(_BASE, value)), chain_inputs=inputs.key(inputs.collect(_CHAIN, value)),
    )  # fmt: skip


_BASE = ("mix-base", "train-base", "audit-base")
_CHAIN = ("generate", "mix", "train", "audit")
_FILES = (TrainingPaths().real, paths.VERIFIED_HELD_OUT, paths.REAL_CLASSES)


def seconds() -> list[float]:
    """What runs of this command have taken on this machine, each with all its stages."""
    notes = [steps.note(path).get("stages", {}) for path in sorted(WORK.glob(f"*/{stages.PROGRESS}/*.json"))]
    return [sum(one["seconds"] for one in note.values()) for note in notes if "audit" in note]


def as_text(found: Plan) -> str:
    """What is asked, and what it will cost, for people."""
    generate, gate = found.settings.generate, found.rule
    what = (
        f"{found.total} verified real training images, {found.test} test images. Arm {found.arm}: policy "
        f"{found.policy}, generator {generate.generator}, labels of {generate.labels}, chains of "
        f"{found.generations} generations; the last one is held against real images alone."
    )
    margins = (
        f"Margins: {gate.map_margin:g} of mAP50-95, {gate.recall_margin:g} of recall of "
        f"{', '.join(found.rare.values()) or 'no class'}; alpha {gate.alpha:g}."
    )
    lines = [what, margins]
    lines += [
        f"NOT TESTABLE: the rare class {name} has {boxes} test boxes, a test needs {found.needed}."
        for name, boxes in found.untestable.items()
    ]
    for question in found.questions:
        grid = found.levels[question]
        shown = ", ".join(f"{one.share:.3g} ({one.real})" for one in grid)
        tests = ratio_search.most_tests(len(grid))
        lines.append(f"{question}: {shown}; at most {tests} of {len(grid)} are tried, each with {gate.min_seeds} to "
                     f"{gate.max_seeds} seeds.")  # fmt: skip
    grid_cost = found.most(tests=False)
    lines.append(f"Trainings: {found.few()} to {found.most()}; the whole grid with all seeds would take {grid_cost}.")
    spent = seconds()
    if spent:
        each = statistics.median(spent)
        lines.append(f"A training with all around it took {each:.0f} s (median of {len(spent)}): "
                     f"{found.few() * each / 3600:.2g} to {found.most() * each / 3600:.2g} hours, less what is "
                     "there already.")  # fmt: skip
    else:
        lines.append("What a training takes here is not known before the first one; `--minutes` ends a call in time.")
    return "\n".join(lines)


def _first_alpha(rule: Rule, grid: int) -> float:
    first = ratio_search.following(grid, (), alpha=rule.alpha)
    return first.alpha if first else rule.alpha


def _arm(name: str | None, settings: Params) -> str:
    if not settings.arms:
        raise UserError("params.yaml has no arm whose policy could be tried. Add one under `arms`.")
    if name is None:
        return PREFERRED if PREFERRED in settings.arms else next(iter(settings.arms))
    if name not in settings.arms:
        known = ", ".join(settings.arms)
        raise UserError(f"no arm {name!r} in params.yaml{suggestion(name, settings.arms)}; there are: {known}.")
    return name


def _check_shares(wanted: Wanted) -> None:
    wrong = [one for one in wanted.shares if not 0 <= one < 1]
    if wrong or not wanted.shares:
        raise UserError(
            f"--shares: got {', '.join(f'{one:g}' for one in wrong) or 'none'}, wanted shares of real images in "
            "[0, 1), as 0.5,0.25,0.1; 1 is the reference itself."
        )
    if wanted.generations < 1:
        raise UserError(f"--generations {wanted.generations}, wanted 1 or more.")


def _data() -> tuple[list[manifest.Row], list[manifest.Row], list[str]]:
    missing = next((path for path in _FILES if not path.exists()), None)
    if missing:
        raise UserError(
            f"there are no verified images: {missing} is missing. Run `uv run dvc repro ingest`, accept what a person "
            "checked with `uv run tailwatch accept`, then `uv run dvc repro verify`."
        )
    real, held_out = manifest.read(TrainingPaths().real), manifest.read(paths.VERIFIED_HELD_OUT)
    test = [row for row in held_out if row.split == "test"]
    if not real or not test:
        raise UserError(
            f"there are {len(real)} verified real training images and {len(test)} test images, wanted some of both. "
            "Accept images with `uv run tailwatch accept`, then run `uv run dvc repro verify`."
        )
    return real, test, manifest.read_classes(paths.REAL_CLASSES)


def _rare(
    settings: Params, real: Sequence[manifest.Row], test: Sequence[manifest.Row], names: Sequence[str], needed: int
) -> tuple[dict[int, str], dict[str, int]]:
    counts, boxes = (manifest.class_counts(rows, len(names)) for rows in (real, test))
    audit = settings.audit
    rare = manifest.rare_classes(counts, names, share=audit.rare_share, named=audit.rare_classes)
    ids = {names.index(name): name for name in rare}
    tested = {one: name for one, name in sorted(ids.items()) if boxes[one] >= needed}
    return tested, {name: boxes[one] for one, name in sorted(ids.items()) if one not in tested}


def _plain(arm: str, *, total: int) -> dict[str, Any]:
    """The project's params.yaml for all folders: without runs, and files that it names are found from each of them."""
    value: dict[str, Any] = plain_yaml.load(bounded.text(paths.PARAMS, most=plain_yaml.MOST))
    value |= {"arms": {arm: value["arms"][arm]}, "runs": {}, "pins": {}}
    value.pop("anchors", None)
    value["train"]["seeds"] = 1  # seeds are this command's own business
    value["nightly"] = {}  # which may name other arms
    value["generate"]["images"] = value["mix"]["total"] = total
    for section, key in ((value["train"], "model"), (value["generate"].get("diffusion", {}), "weights")):
        if section.get(key) and Path(section[key]).exists():
            section[key] = str(Path(section[key]).absolute())
    params.parse(yaml.safe_dump(value, sort_keys=False))
    return value
