"""Settings that suit a source and a machine: from object sizes, class counts and the time that a step takes."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace

from pipeline.core import paths
from pipeline.core.sections import Run
from pipeline.core.surveys import ClassSurvey, Survey

TINY, NANO = "models/tiny.yaml", "models/nano.yaml"
LEAST_OBJECT = 12  # pixels of the lower quartile of the smallest class: one and a half cells of stride 8
GOOD_OBJECT = 24  # pixels of it from which larger images bring little
ARMS = ("guarded", "recursive")
_TINY_SEES = 96  # pixels: of objects that the single output of tiny.yaml, at stride 8, still encloses
_SMALLEST, _LARGEST = 64, 1280  # pixels of image size
_SMALL_IMAGE = 96  # pixels: up to here a larger batch costs little
_STRIDE = 32
_FEW = 10  # measured objects under which a class has no say in the image size
_PASSES, _FEWEST_PASSES = 60, 30  # over the training images, from scratch
_STEPS, _FEWEST_STEPS, _MOST_STEPS = 400, 300, 20_000
_CROP = (16, 48)  # pixels, smallest and largest side of the crops that a generator learns
_OTHER_SECONDS = 75.0  # of a run, for all but its training, on an idle machine of two cores
_MOST_RARE = 10  # classes that are tested apart: with each more, all tests get weaker
_FORWARD = 0.33  # of the time that an image takes in training, that of a prediction
_SIDED = re.compile(
    r"(?<![a-z])(left|right|digit|letter|zero|one|two|three|four|five|six|seven|eight|nine)(?![a-z])|^\d+$"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Numbers:
    """How many images of each kind there will be, as far as is known before ingest."""

    train: int
    val: int
    test: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Training:
    """What one training is to be, and how long the whole of it takes.

    Attributes:
        model: of models/.
        image_size: pixels.
        batch: images.
        steps: of every run.
        generations: of each arm.
        seconds: a step; None where it was not measured.
    """

    model: str
    image_size: int
    batch: int
    steps: int
    generations: int
    seconds: float | None

    @property
    def trainings(self) -> int:
        """Trainings of base and arms, without second ones."""
        return 1 + len(ARMS) * self.generations

    @property
    def second(self) -> int:
        """Second trainings where the recursive arm loses each time: its own, and the base's to compare them with."""
        return 1 + self.generations

    def minutes(self, counts: Numbers) -> float | None:
        """All of it, second trainings too, on an idle machine; None where a step was not measured."""
        if self.seconds is None:
            return None
        looked = self._looking(counts, self.seconds)
        return ((self.trainings + self.second) * self.steps * self.seconds + self.trainings * looked) / 60

    def minutes_a_generation(self, counts: Numbers) -> float | None:
        """One generation of one arm, trained once."""
        if self.seconds is None:
            return None
        return (self.steps * self.seconds + self._looking(counts, self.seconds)) / 60

    def _looking(self, counts: Numbers, seconds: float) -> float:
        """Seconds of a run for all but its training."""
        predicted = counts.val + counts.test + counts.train
        return _OTHER_SECONDS + predicted * seconds * _FORWARD / self.batch


StepSeconds = Callable[[str, int, int], float]  # model, image size, batch -> seconds a step


def numbers(survey: Survey, *, of_source: bool, shares: Mapping[str, float]) -> Numbers:
    """How many images each split will have, before near duplicates are removed."""
    if of_source:
        return Numbers(**{split: survey.images.get(split, 0) for split in ("train", "val", "test")})
    return Numbers(**{split: round(shares[split] * survey.usable) for split in ("train", "val", "test")})


def expected_boxes(one: ClassSurvey, split: str, *, of_source: bool, shares: Mapping[str, float]) -> int:
    """Boxes of a class in a split; of splits that are drawn later, as many as its share gives."""
    return one.boxes.get(split, 0) if of_source else round(shares[split] * one.total)


def image_sizes(survey: Survey) -> tuple[int, ...]:
    """Image sizes worth training at, in pixels, the largest first.

    At the least, the smaller quarter of the smallest class is 12 pixels; at the most, 24. No image is made larger than
    it is. Where that needs more than 1280 pixels, 1280 is all that is offered.
    """
    fractions = [one.small for one in _telling(survey) if one.small]
    if not fractions or survey.sides is None:
        return (640,)
    native = _up(survey.sides[1])
    low, high = (_up(wanted / min(fractions)) for wanted in (LEAST_OBJECT, GOOD_OBJECT))
    limit = max(min(native, _LARGEST), _SMALLEST)
    low, high = max(min(low, limit), _SMALLEST), max(min(high, limit), _SMALLEST)
    return tuple(range(high, low - 1, -_STRIDE))


def smallest_object(survey: Survey, image_size: int) -> tuple[ClassSurvey, float] | None:
    """The class whose smaller quarter is smallest, and that size in pixels of the training images."""
    found = [(one.small * image_size, one) for one in _telling(survey) if one.small]
    if not found:
        return None
    pixels, one = min(found, key=lambda each: each[0])
    return one, pixels


def model(survey: Survey, image_size: int) -> str:
    """The small net where all its objects fit into what it sees, else one with several strides."""
    largest = max((one.large for one in survey.classes if one.large), default=1.0)
    return TINY if largest * image_size <= _TINY_SEES else NANO


def choose(survey: Survey, counts: Numbers, *, minutes: float | None, gpu: bool, seconds: StepSeconds) -> Training:
    """What to train, so that all of it fits into some minutes.

    First the image size is given up, down to the smallest that still shows the objects; then generations, then steps,
    down to thirty passes over the images. Where nothing fits, the least of all is given.

    Args:
        survey: of the source.
        counts: images by split.
        minutes: for all runs, second trainings too, on an idle machine; None: no limit, and nothing is measured.
        gpu: whether a GPU trains.
        seconds: measures a step.
    """
    sizes = image_sizes(survey)
    wanted = _training(survey, counts, sizes[0], gpu=gpu)
    if minutes is None:
        return wanted
    smallest = {model(survey, size): size for size in sizes}  # of each model: there a step is measured, and is quickest
    measured: dict[str, float] = {}
    chosen = wanted
    for generations, size, fewer in _choices(sizes):
        net = model(survey, size)
        if net not in measured:
            measured[net] = seconds(net, smallest[net], _batch(counts, smallest[net], gpu=gpu))
        full = _training(survey, counts, size, gpu=gpu, generations=generations)
        images = full.batch * size**2 / (_batch(counts, smallest[net], gpu=gpu) * smallest[net] ** 2)
        full = replace(full, seconds=measured[net] * images)
        chosen = _shortened(full, counts, minutes) if fewer else full
        if _minutes(chosen, counts) <= minutes:
            break
    if chosen.image_size == smallest[chosen.model]:
        return chosen
    full = _training(survey, counts, chosen.image_size, gpu=gpu, generations=chosen.generations)
    exact = replace(full, seconds=seconds(chosen.model, chosen.image_size, chosen.batch))
    return _shortened(exact, counts, minutes)


def _choices(sizes: tuple[int, ...]) -> Iterator[tuple[int, int, bool]]:
    """Generations, image size, and whether fewer steps will do: the best first."""
    for generations in (3, 2):
        yield from ((generations, size, False) for size in sizes)
    for generations in (2, 1):
        yield generations, sizes[-1], True


def _training(
    survey: Survey,
    counts: Numbers,
    image_size: int,
    *,
    gpu: bool,
    generations: int = 3,
) -> Training:
    """A training with all the steps that it wants, untimed."""
    batch = _batch(counts, image_size, gpu=gpu)
    steps = min(max(_PASSES * counts.train // batch, _STEPS), _MOST_STEPS)
    return Training(
        model=model(survey, image_size), image_size=image_size, batch=batch, steps=_round_tens(steps),
        generations=generations, seconds=None,
    )  # fmt: skip


def _batch(counts: Numbers, image_size: int, *, gpu: bool) -> int:
    """Images a step: a power of two, no more than there are."""
    most = 64 if gpu else 32 if image_size <= _SMALL_IMAGE else 16
    return int(min(most, 2 ** int(math.log2(max(counts.train, 1)))))


def _shortened(one: Training, counts: Numbers, minutes: float) -> Training:
    """The same with as many steps as fit, and not fewer than thirty passes."""
    over = _minutes(one, counts) - minutes
    if over <= 0 or one.seconds is None:
        return one
    fit = one.steps - over * 60 / one.seconds / (one.trainings + one.second)
    least = max(_FEWEST_PASSES * counts.train // one.batch, _FEWEST_STEPS)
    return replace(one, steps=_round_tens(min(max(fit, least), one.steps)))


def _minutes(one: Training, counts: Numbers) -> float:
    found = one.minutes(counts)
    if found is None:
        raise ValueError("a step was not measured")
    return found


def runs(generations: int) -> dict[str, Run]:
    """The runs of both arms, generation by generation."""
    found = {}
    for generation, arm in itertools.product(range(1, generations + 1), ARMS):
        previous = f"{arm}-{generation - 1}" if generation > 1 else paths.BASE
        found[f"{arm}-{generation}"] = Run(arm=arm, generation=generation, previous=previous)
    return found


def rare_share(survey: Survey, default: float) -> float:
    """The share of the boxes under which a class is rare: the default, unless that would make too many classes rare.

    With many classes nearly all have a small share. Then it lies just above the tenth smallest share, for each further
    class that is tested weakens all tests.
    """
    shares = sorted(share for one in survey.classes if one.total and (share := survey.share(one)) is not None)
    if sum(share < default for share in shares) <= _MOST_RARE:
        return default
    low, high = shares[_MOST_RARE - 1], shares[_MOST_RARE]
    return float(f"{(low + high) / 2:.2g}") if low < high else float(f"{low:.2g}")


def rare_classes(survey: Survey, share: float) -> tuple[str, ...]:
    """Classes to name as rare: the least common one, where none has so small a share and there are several."""
    filled = [one for one in survey.classes if one.total]
    if len(filled) < 2 or any((survey.share(one) or 0.0) < share for one in filled):  # noqa: PLR2004 - one is no tail
        return ()
    return (min(filled, key=lambda one: (one.total, one.name)).name,)


def crop(survey: Survey, image_size: int) -> int:
    """Side of the crops that a generator learns, in pixels: that of the objects that training sees."""
    medians = sorted(one.median for one in _telling(survey) if one.median)
    if not medians:
        return _CROP[0]
    side = 4 * round(medians[len(medians) // 2] * image_size / 4)
    return min(max(side, _CROP[0]), _CROP[1])


def flips(survey: Survey) -> bool:
    """Whether a mirrored image may show the same classes: not where names speak of sides, or are letters or digits."""
    return not any(_SIDED.search(one.name.lower()) or len(one.name) == 1 for one in survey.classes)


def _telling(survey: Survey) -> list[ClassSurvey]:
    """Classes with enough measured objects to say how large they are; all, where none has."""
    return [one for one in survey.classes if one.total >= _FEW] or list(survey.classes)


def _up(pixels: float) -> int:
    return math.ceil(pixels / _STRIDE) * _STRIDE


def _round_tens(steps: float) -> int:
    return max(int(steps) // 10 * 10, 10)
