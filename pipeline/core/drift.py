"""How far a run's synthetic images have moved away from the real training images, quantity by quantity.

Objects of one image are not independent of one another: they share its scale, its layout and its class mix. So classes
and boxes are tested by permuting whole images between the two sets, which holds whatever that dependence is. What is
one number an image needs no such care.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy import stats

from pipeline.core import images, labels, pixel_statistics
from pipeline.core.figures import Drift
from pipeline.core.manifest import Row
from pipeline.core.pixel_statistics import PixelStatistics
from pipeline.core.statistics import holm

MOST_IMAGES = 2000  # of each kind that are looked at; more make it slower and no effect clearer
PERMUTATIONS = 1999  # p values of single quantities go down to 1 / 2000
_BATCH = 250  # permutations in work at once
_EXACT = 50  # images of the smaller set under which the limiting distribution is not trusted
_MOST_EXACT = 400  # images in all up to which the exact distribution is quick
_CLASSES = "class shares"
_CRAMER, _CLIFF = "Cramér's V", "Cliff's delta"

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Values:
    """One quantity: its values, and for each the number of the image that it is of; real images come first."""

    quantity: str
    unit: str
    values: Floats
    image: Ints

    def of(self, first: int, last: int) -> Floats:
        """The values of the images numbered first to last, the last left out."""
        return self.values[(self.image >= first) & (self.image < last)]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Permute:
    """Permutes images between the first `border` ones, which are real, and the rest of them."""

    border: int
    number: int
    permutations: int
    rng: np.random.Generator

    def __call__(self, statistic: Callable[..., Floats]) -> float:
        """P value of a statistic of the two sets of image numbers, large where they differ."""
        tested = stats.permutation_test(
            (np.arange(self.border), np.arange(self.border, self.number)), statistic, vectorized=True, batch=_BATCH,
            n_resamples=self.permutations, alternative="greater", random_state=self.rng,
        )  # fmt: skip
        return float(tested.pvalue)


def measure(
    real: Sequence[Row],
    synthetic: Sequence[Row],
    names: Sequence[str],
    *,
    rng: np.random.Generator,
    most: int = MOST_IMAGES,
    permutations: int = PERMUTATIONS,
) -> tuple[Drift, ...]:
    """Compare synthetic images with real ones.

    Class shares, box size (root of the area, as a fraction of the image's), aspect ratio, horizontal and vertical
    position are of boxes; objects an image and the pixel statistics are one number an image. Pixel statistics are taken
    at one scale: :func:`pixel_statistics.common_side`. P values are adjusted for the number of quantities (Holm), so
    that any of them is below alpha, where nothing differs, with probability alpha at most.

    Args:
        real: rows of real training images.
        synthetic: rows of the run's synthetic images.
        names: of the classes, by id.
        rng: draws the permutations, and the images where there are more than `most`.
        most: images of each kind that are looked at, at least 1.
        permutations: of images, at least 1; more give finer p values.

    Returns:
        One a quantity; without real or without synthetic images, each with its reason and no figures.

    Raises:
        UserError: an image or a label file is missing or damaged.

    Source: two-sample Kolmogorov-Smirnov statistic: Hodges 1958, Arkiv för Matematik 3:469-486; permutation of whole
    clusters: Good 2005, Permutation, Parametric and Bootstrap Tests of Hypotheses, chapter 3; Cliff's delta: Cliff
    1993, Psychological Bulletin 114:494-509; Cramér's V: Cramér 1946, Mathematical Methods of Statistics, chapter 21.
    """
    chosen = [*_draw(real, most, rng), *_draw(synthetic, most, rng)]
    border = min(len(real), most)
    boxes = [labels.read(row.label_path) for row in chosen]
    permute = _Permute(border=border, number=len(chosen), permutations=permutations, rng=rng)
    found = [_class_shares(boxes, len(names), permute)]
    found += [_of_boxes(one, permute) for one in _box_values(chosen, boxes)]
    found += [_of_images(one, border, len(chosen)) for one in _pixel_values(chosen, border)]
    adjusted = holm({one.quantity: one.p_value for one in found if one.p_value is not None})
    return tuple(replace(one, p_value=adjusted.get(one.quantity)) for one in found)


def _draw(rows: Sequence[Row], most: int, rng: np.random.Generator) -> list[Row]:
    if len(rows) <= most:
        return list(rows)
    return [rows[int(position)] for position in np.sort(rng.permutation(len(rows))[:most])]


def _box_values(rows: Sequence[Row], boxes: Sequence[Sequence[labels.Box]]) -> list[_Values]:
    """The quantities of boxes, and objects an image, which has a value for an empty image too.

    Edges are rounded to whole pixels: people and programs that label to the pixel would else differ from a detector,
    which gives fractions of one, in every quantity.
    """
    image = np.repeat(np.arange(len(boxes)), [len(some) for some in boxes])
    size = np.array([(row.width, row.height) for row in rows], dtype=np.float64).reshape(-1, 2)[image]
    corners = np.array([box.corners() for some in boxes for box in some]).reshape(-1, 4)
    low = np.minimum(np.rint(corners[:, :2] * size), size - 1)
    high = np.maximum(np.rint(corners[:, 2:] * size), low + 1)
    (width, height), (x, y) = (high - low).T, ((low + high) / 2 / size).T
    quantities = [
        ("box size", "fraction of the image's", np.sqrt(width * height / size.prod(axis=1))),
        ("aspect ratio", "width / height", width / height),
        ("horizontal position", "fraction of the width", x),
        ("vertical position", "fraction of the height", y),
    ]
    found = [_Values(quantity=name, unit=unit, values=values, image=image) for name, unit, values in quantities]
    count = np.array([len(some) for some in boxes], dtype=np.float64)
    return [*found, _Values(quantity="objects an image", unit="boxes", values=count, image=np.arange(len(boxes)))]


def _pixel_values(rows: Sequence[Row], border: int) -> list[_Values]:
    """The pixel statistics of each image; every image is read once."""
    sizes = [(row.width, row.height) for row in rows]
    side = pixel_statistics.common_side(sizes[:border], sizes[border:]) if 0 < border < len(rows) else None
    # Without one of the two sets nothing is compared, so nothing is read.
    measured = [pixel_statistics.measure(images.read(Path(row.path)), side=side) for row in rows] if side else []
    quantities: list[tuple[str, str, Callable[[PixelStatistics], float | None]]] = [
        ("sharpness", "variance of the Laplacian, grey values squared", lambda one: one.sharpness),
        ("high-frequency energy", "share of the spectrum's energy", lambda one: one.high_frequency),
        ("contrast", "standard deviation of luma, grey values", lambda one: one.contrast),
        ("colour", "mean chroma, grey values", lambda one: one.colour),
    ]
    found = []
    for name, unit, take in quantities:
        known = [(number, value) for number, one in enumerate(measured) if (value := take(one)) is not None]
        image, values = np.array([number for number, _ in known], dtype=np.int64), [value for _, value in known]
        found.append(_Values(quantity=name, unit=unit, values=np.array(values, dtype=np.float64), image=image))
    return found


def _class_shares(boxes: Sequence[Sequence[labels.Box]], classes: int, permute: _Permute) -> Drift:
    table = np.zeros((len(boxes), classes))
    for number, some in enumerate(boxes):
        for box in some:
            table[number, box.class_id] += 1
    counts = np.stack([table[: permute.border].sum(axis=0), table[permute.border :].sum(axis=0)])
    samples = (int(counts[0].sum()), int(counts[1].sum()))
    plain = Drift(
        quantity=_CLASSES, unit="", real=None, synthetic=None, effect=None, effect_name=_CRAMER, test="", p_value=None,
        samples=samples,
    )  # fmt: skip
    if min(samples) == 0:
        return replace(plain, reason=_absent(samples, "boxes"))
    used = counts.any(axis=0)
    if used.sum() == 1:
        return replace(plain, reason="all boxes are of one class: there are no shares to compare")
    table = table[:, used]

    def statistic(real: Ints, synthetic: Ints, axis: int) -> Floats:
        del synthetic, axis
        first = _in_first(real, len(table)).astype(np.float64) @ table
        return _chi_squared(first, table.sum(axis=0))

    tested = permute(statistic)
    effect = float(stats.contingency.association(counts[:, used].astype(np.int64), method="cramer"))
    return replace(plain, effect=effect, test="chi-squared, images permuted", p_value=tested)


def _chi_squared(first: Floats, total: Floats) -> Floats:
    """Pearson's statistic of tables of two rows, the first (…, k) given and both together (k,)."""
    shares = first.sum(axis=-1, keepdims=True) / total.sum()
    # One row's squared distances over its expectation, brought to both rows: their distances are the same.
    expected = shares * total
    with np.errstate(invalid="ignore", divide="ignore"):
        terms = (first - expected) ** 2 / (expected * (1 - shares))
    return np.asarray(np.where(np.isfinite(terms), terms, 0.0).sum(axis=-1))


def _of_boxes(data: _Values, permute: _Permute) -> Drift:
    """Test a quantity whose values hang together within an image, or have many ties: images are permuted."""
    plain = _described(data, permute.border, permute.number)
    if plain.reason:
        return plain
    order = np.argsort(data.values, kind="stable")
    values, image = data.values[order], data.image[order]
    ends = np.append(values[1:] > values[:-1], True)  # the last of each run of equal values

    def statistic(real: Ints, synthetic: Ints, axis: int) -> Floats:
        del synthetic, axis
        seen = _in_first(real, permute.number)[..., image].cumsum(axis=-1, dtype=np.int32)
        first = seen[..., -1:]
        second = len(values) - first
        with np.errstate(invalid="ignore", divide="ignore"):  # an image set without a box: no distance
            distance = seen / first - (np.arange(1, len(values) + 1, dtype=np.int32) - seen) / second
        return np.asarray(np.nan_to_num(np.abs(distance[..., ends]).max(axis=-1), posinf=0.0))

    tested = permute(statistic)
    return replace(plain, test="Kolmogorov-Smirnov, images permuted", p_value=tested)


def _of_images(data: _Values, border: int, number: int) -> Drift:
    """Test a quantity that has one value an image."""
    plain = _described(data, border, number)
    if plain.reason:
        return plain
    real, synthetic = data.of(0, border), data.of(border, number)
    few = min(len(real), len(synthetic)) < _EXACT
    method: Literal["exact", "asymp"] = "exact" if few and len(data.values) <= _MOST_EXACT else "asymp"
    tested = stats.ks_2samp(real, synthetic, method=method)
    return replace(plain, test="Kolmogorov-Smirnov", p_value=min(float(tested.pvalue), 1.0))


def _described(data: _Values, border: int, number: int) -> Drift:
    """Medians and effect; a reason where one of the sets has no value."""
    real, synthetic = data.of(0, border), data.of(border, number)
    plain = Drift(
        quantity=data.quantity, unit=data.unit, real=None, synthetic=None, effect=None, effect_name=_CLIFF, test="",
        p_value=None, samples=(len(real), len(synthetic)),
    )  # fmt: skip
    if min(plain.samples) == 0:
        return replace(plain, reason=_absent(plain.samples, "values"))
    ranks = stats.rankdata(np.concatenate([synthetic, real]))[: len(synthetic)]
    larger = float(ranks.sum()) - len(synthetic) * (len(synthetic) + 1) / 2  # Mann-Whitney's U
    effect = 2 * larger / (len(real) * len(synthetic)) - 1
    return replace(plain, real=float(np.median(real)), synthetic=float(np.median(synthetic)), effect=effect)


def _absent(samples: tuple[int, int], what: str) -> str:
    lacking = " and ".join(kind for kind, count in zip(("real", "synthetic"), samples, strict=True) if not count)
    return f"the {lacking} images have no {what}"


def _in_first(real: Ints, number: int) -> npt.NDArray[np.bool_]:
    """Which images are in the first set: (…, number), from their numbers (…, n)."""
    member = np.zeros((*real.shape[:-1], number), dtype=np.bool_)
    np.put_along_axis(member, real, values=True, axis=-1)
    return member
