"""Histories to score forecasts on: recursions without a detector, a generator fitted to the last generation's output.

Pages and generators are the project's own. Labels are what was drawn (`layout`), or what a small classifier of crops
says (`classifier`). It is fitted anew to each generation's labels and leaves out what it is not sure of: that is what a
detector does to labels, rare classes first, in milliseconds.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
import numpy.typing as npt

from pipeline.core import copy_paste, digits, images, labels, mixture, rng, synthesis
from pipeline.core.futures import Generation
from pipeline.core.generate_settings import CopyPaste, Generate, Mixture
from pipeline.core.labels import Box
from pipeline.core.synthesis import Drawn, Example, Fit

CLASSES = 8
PAGES = 160
GENERATIONS = 10
CONFIDENCE = 0.5  # of the classifier: labels under it are left out
_TAIL = 1.1
_PAGE = 48  # pixels
_CROP = 8  # pixels a side, of what the classifier sees
_GENERATORS: dict[str, Fit] = {"mixture": mixture.fit, "copy_paste": copy_paste.fit}


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """A generator, and where its labels come from."""

    generator: Literal["mixture", "copy_paste"]
    labels: Literal["layout", "classifier"]

    @property
    def name(self) -> str:
        """As the table calls it."""
        return f"{self.generator}, {self.labels}"


def history(scenario: Scenario, seed: int, folder: Path, *, generations: int = GENERATIONS) -> list[Generation]:
    """Run one recursion: the base, then generations that replace one another.

    Args:
        scenario: generator and labels.
        seed: of everything in it; real pages are other ones with each seed.
        folder: an empty one, for pages.
        generations: without the base.
    """
    examples = _real_pages(seed, folder)
    found = [_count(0, [one.boxes for one in examples])]
    settings = _settings(scenario)
    for generation in range(1, generations + 1):
        source = rng.generator(seed, "forecast study", scenario.name, str(generation))
        draw = _GENERATORS[scenario.generator](examples, settings, source)
        drawn = [draw(source) for _ in range(PAGES)]
        labelled = [page.boxes for page in drawn]
        if scenario.labels == "classifier":
            labelled = _pseudo_labels(examples, drawn)
        pairs = zip(drawn, labelled, strict=True)
        examples = [
            _store(folder, f"{generation}-{number}", page.pixels, boxes) for number, (page, boxes) in enumerate(pairs)
        ]
        found.append(_count(generation, labelled))
    return found


def _settings(scenario: Scenario) -> Generate:
    return Generate(
        generator=scenario.generator,
        labels="layout",
        confidence=0.25,
        images=PAGES,
        mixture=Mixture(crop=12, components=12, clusters=4),
        copy_paste=CopyPaste(
            scale=(0.8, 1.2), rotate=10, brightness=0.15, colour=0.05, blend="soft", max_occlusion=0.1
        ),
    )


def _real_pages(seed: int, folder: Path) -> list[Example]:
    from sklearn.datasets import load_digits

    ink, targets = load_digits(return_X_y=True)
    ink = ink.reshape(-1, 8, 8).astype(np.uint8)
    identities = {number: [int(one) for one in np.flatnonzero(targets == number)] for number in range(CLASSES)}
    style = digits.PageStyle(size=_PAGE, digit_size=(14, 18), digits_a_page=(3, 5), classes=CLASSES, tail=_TAIL)
    found = []
    for number in range(PAGES):
        page = digits.compose(ink, identities, style, key=f"forecast study/{seed}/{number}")
        boxes = [
            synthesis.to_label(
                synthesis.PixelBox(x=one.x, y=one.y, width=one.width, height=one.height), one.class_id, page.pixels
            )
            for one in page.digits
        ]
        found.append(_store(folder, f"0-{number}", np.repeat(page.pixels[:, :, None], 3, axis=2), boxes))
    return found


def _store(folder: Path, name: str, pixels: npt.NDArray[np.uint8], boxes: Sequence[Box]) -> Example:
    path = folder / f"{name}.bmp"  # the generators read files; nothing is quicker to write
    cv2.imwrite(str(path), pixels)
    return Example(image_id=hashlib.sha256(name.encode()).hexdigest(), path=path, boxes=tuple(boxes))


def _count(generation: int, boxes: Sequence[Sequence[Box]]) -> Generation:
    counts = tuple(sum(box.class_id == number for some in boxes for box in some) for number in range(CLASSES))
    none = (0,) * CLASSES
    made = PAGES if generation else 0
    return Generation(
        run=f"study-{generation}", generation=generation, training=counts, real=none if generation else counts,
        synthetic=counts if generation else none, images=PAGES, made=made, used=made,
    )  # fmt: skip


def _crops(pixels: npt.NDArray[np.uint8], boxes: Sequence[Box]) -> list[npt.NDArray[np.float32]]:
    grey = cv2.cvtColor(pixels, cv2.COLOR_BGR2GRAY)
    found = []
    for box in boxes:
        cut = synthesis.to_pixels(box, pixels).cut(grey)
        small = cv2.resize(cut, (_CROP, _CROP), interpolation=cv2.INTER_AREA).astype(np.float32)
        found.append(((small - small.mean()) / max(float(small.std()), 1.0)).ravel())
    return found


def _pseudo_labels(examples: Sequence[Example], drawn: Sequence[Drawn]) -> list[tuple[Box, ...]]:
    """The drawn boxes, with the class that the last generation's classifier is sure of; without those of none."""
    from sklearn.linear_model import LogisticRegression

    seen = [crop for one in examples for crop in _crops(images.read(one.path), one.boxes)]
    known = [box.class_id for one in examples for box in one.boxes]
    if len(set(known)) == 1:
        return [tuple(_as(box, known[0]) for box in page.boxes) for page in drawn]
    model: Any = LogisticRegression(C=0.1, max_iter=300).fit(np.array(seen), known)
    found = []
    for page in drawn:
        boxes: list[Box] = []
        if page.boxes:
            sure = model.predict_proba(np.array(_crops(page.pixels, page.boxes)))
            for box, row in zip(page.boxes, sure, strict=True):
                if row.max() >= CONFIDENCE:
                    boxes.append(_as(box, int(model.classes_[int(row.argmax())])))
        found.append(tuple(boxes))
    return found


def _as(box: Box, class_id: int) -> Box:
    return labels.Box(class_id=class_id, x=box.x, y=box.y, width=box.width, height=box.height)
