"""What `tailwatch init` found and proposes, in words."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from pipeline.core import proposals
from pipeline.core.manifest import SPLITS
from pipeline.initialising import ClassOutlook, Proposal

_FEW_TO_LEARN = 20  # boxes
_MOST_CLASSES = 40  # lines of the table
_FAR_LARGER = 4  # times the training's image size


def as_text(found: Proposal) -> str:
    """The dataset, the proposal with its reasons, how long it takes, and what the test split can prove."""
    parts = [_dataset(found), _table(found), _settings(found), _time(found), _limits(found)]
    return "\n\n".join("\n".join(lines) for one in parts if (lines := list(one)))


def next_steps(found: Proposal, aside: Path | None) -> str:
    """What to type after it."""
    inside = not Path(found.path).is_absolute()
    lines = ["Next:"]
    if inside:
        lines.append(f"  uv run dvc add {found.path}   # keeps the images out of git; skip it if it is done")
    lines += [
        "  uv run dvc repro ingest   # every image decoded, every box checked; data/real/decisions.csv has the reasons",
        "  uv run tailwatch accept --reviewer NAME --reason TEXT   # if a person checked the labels; docs/ledger.md",
        "  uv run dvc repro",
        "  uv run tailwatch check   # and open reports/index.html",
    ]
    if aside is not None:
        lines.append(f"What was there before is in {aside}.")
    return "\n".join(lines)


def _dataset(found: Proposal) -> Iterator[str]:
    survey = found.survey
    yield f"{found.layout.kind.upper()} in {found.layout.path} ({found.layout.sign})"
    of = ", ".join(f"{split} {survey.images[split]:,}" for split in (*SPLITS, "") if survey.images.get(split))
    of = of.rstrip().removesuffix(",") if survey.images.get("", 0) == 0 else f"{survey.images['']:,} without a split"
    yield f"{survey.usable:,} images ({of}), {survey.boxes:,} boxes of {len(survey.classes)} classes"
    if survey.sides is not None:
        low, middle, high = survey.sides
        sides = f"{middle:,} pixels" if low == high else f"{middle:,} pixels ({low:,} to {high:,})"
        read = "" if survey.measured == survey.usable else f", by {survey.measured:,} of them"
        yield f"longer side of an image: {sides}{read}"
    if survey.refused_images or survey.refused_boxes:
        yield (
            f"{survey.refused_images:,} images and {survey.refused_boxes:,} boxes or labels cannot be used and will be "
            f"left out: {'; '.join(survey.examples)}"
        )


def _table(found: Proposal) -> Iterator[str]:
    ordered = sorted(found.classes, key=lambda one: -one.seen.total)
    width = max([5, *(len(one.seen.name) for one in ordered)])
    about = "" if found.of_source else "~"
    yield f"{'class':<{width}} {'train':>8} {'test':>7} {'share':>7} {'side':>8}   smallest loss of recall that shows"
    for one in ordered[-_MOST_CLASSES:]:
        share = found.survey.share(one.seen)
        side = "-" if one.seen.pixels is None else f"{one.seen.pixels:.0f} px"
        yield (
            f"{one.seen.name:<{width}} {about + format(one.train, ','):>8} {about + format(one.test, ','):>7} "
            f"{'-' if share is None else format(share, '.1%'):>7} {side:>8}   {_loss(one)}"
        )
    if len(ordered) > _MOST_CLASSES:
        yield f"({len(ordered) - _MOST_CLASSES} more classes are commoner)"
    yield (
        "A night shows such a loss in 8 of 10 cases, if healthy trainings disagree on a fifth of the boxes; "
        "`uv run tailwatch plan` knows it better once the base is trained."
    )


def _loss(one: ClassOutlook) -> str:
    rare = " (rare: tested by itself)" if one.rare else ""
    if one.test == 0:
        return f"none: no test box{rare}"
    return f"{'none: too few test boxes' if one.loss is None else format(one.loss, '.2f')}{rare}"


def _settings(found: Proposal) -> Iterator[str]:
    training, survey, settings = found.training, found.survey, found.settings
    yield "Proposed in params.yaml:"
    small = proposals.smallest_object(survey, training.image_size)
    why = "" if small is None else f": three in four objects of {small[0].name} are then {small[1]:.0f} pixels or more"
    yield f"  train.image_size {training.image_size}{why}"
    largest = "all objects fit into its one output" if training.model == proposals.TINY else "objects of all sizes"
    yield f"  train.model {training.model}: {largest}"
    passes = training.steps * training.batch / max(found.numbers.train, 1)
    yield f"  train.steps {training.steps} of {training.batch} images: {passes:.0f} passes over the training images"
    yield f"  train.augment.fliplr {settings.train.augment['fliplr']:g}: {_mirror(found)}"
    if found.of_source:
        yield "  verify.splits source: it has train, val and test of its own"
    else:
        told = " ".join(f"{split} {getattr(found.numbers, split):,}" for split in SPLITS)
        yield f"  verify.splits identity: {_no_splits(found)}; divided anew, about {told}, near copies kept together"
    rare = [one.seen.name for one in found.classes if one.rare]
    named = " (by name, for none is under the share)" if settings.audit.rare_classes else ""
    yield f"  audit.rare_share {settings.audit.rare_share:g}: rare are {', '.join(rare) or 'none'}{named}"
    yield f"  generate.images {settings.generate.images}, generate.mixture.crop {settings.generate.mixture.crop}"
    yield f"  runs: base and {training.generations} generations of {' and '.join(proposals.ARMS)}"


def _mirror(found: Proposal) -> str:
    if found.settings.train.augment["fliplr"]:
        return "a mirrored image shows the same classes; write 0.0 if that is wrong here"
    return "the classes have sides, or are letters or digits"


def _no_splits(found: Proposal) -> str:
    if set(found.survey.images) == {""}:
        return "the source has no splits"
    boxes = {split: sum(one.boxes.get(split, 0) for one in found.survey.classes) for split in SPLITS}
    missing = [split for split in SPLITS if not boxes[split]]
    if missing:
        return f"the source has no labelled {' and no '.join(missing)}"
    return f"{found.survey.images.get('', 0):,} images of the source are in no split"


def _time(found: Proposal) -> Iterator[str]:
    training, clock = found.training, found.clock
    if clock is None or training.seconds is None:
        yield "Nothing was timed; without --no-probe, steps and image size are chosen to fit into --minutes."
        return
    total, one = training.minutes(found.numbers) or 0.0, training.minutes_a_generation(found.numbers) or 0.0
    where = f"{clock.cores} core{'s' if clock.cores > 1 else ''}" if clock.device == "cpu" else f"GPU {clock.device}"
    yield (
        f"A step takes {training.seconds:.2g} s ({where}), a generation of an arm about {one:.0f} minutes; all of it "
        f"about {total:.0f} minutes: {training.trainings} trainings, and {training.second} more if the recursive arm "
        "looks bad each time and trains again."
    )
    if clock.slower > 1.2:  # noqa: PLR2004 - a fifth longer is worth a word
        yield (
            f"That is on an idle machine. This one is busy: a step takes {clock.now:.2g} s now, so all of it about "
            f"{total * clock.slower:.0f} minutes if it stays so."
        )
    if total > found.minutes:
        yield (
            f"That is more than --minutes {found.minutes:g}: fewer steps or smaller images would find nothing. Let it "
            "run, or take a machine with a GPU or more cores."
        )


def _limits(found: Proposal) -> Iterator[str]:
    """What will not work, or cannot be proved."""
    survey, size = found.survey, found.training.image_size
    for one in found.classes:
        if one.seen.total == 0:
            yield f"Warning: {one.seen.name} has no object at all; it can be neither learned nor judged."
        elif one.test == 0:
            yield f"Warning: {one.seen.name} has no test object: nothing can be proved of it, whatever becomes of it."
        elif one.train < _FEW_TO_LEARN:
            yield f"Warning: {one.seen.name} has {one.train} training objects, too few to be learned well."
    weak = [one.seen.name for one in found.classes if one.rare and one.test and (one.loss is None or one.loss > 0.5)]  # noqa: PLR2004
    if weak:
        yield (
            f"Warning: of {', '.join(weak[:5])} only a loss of more than half of its recall shows; runs will often be "
            "INCONCLUSIVE. More test images of it help most."
        )
    small = proposals.smallest_object(survey, size)
    if small is not None and small[1] < proposals.LEAST_OBJECT:
        yield (
            f"Warning: most objects of {small[0].name} are under {proposals.LEAST_OBJECT} pixels at {size} pixels. Cut "
            "the images into tiles before, or it will hardly be found."
        )
    elif survey.sides is not None and survey.sides[1] > _FAR_LARGER * size:
        yield f"Note: images of {survey.sides[1]:,} pixels are scaled down to {size} for training."
