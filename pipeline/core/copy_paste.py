"""Cut objects out of training images and paste them onto other backgrounds.

Source of the idea: Dwibedi, Misra & Hebert 2017, "Cut, Paste and Learn"; Poisson blending: Pérez, Gangnet & Blake 2003.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from pipeline.core import images, synthesis
from pipeline.core.sections import CopyPaste, Generate
from pipeline.core.synthesis import Drawn, Example, PixelBox, Pixels

_LEAST_CLONE = 5  # pixels: OpenCV takes two off each side, and fails where nothing is left


def _changed(
    source: Pixels, place: PixelBox, params: CopyPaste, rng: np.random.Generator
) -> tuple[Pixels, tuple[int, int]]:
    """An object with its surroundings, scaled, rotated and lit anew; and the object's own new width and height."""
    crop = synthesis.cut_with_context(source, place)
    scale = rng.uniform(*params.scale)
    angle = rng.uniform(-params.rotate, params.rotate)
    cosine, sine = abs(np.cos(np.radians(angle))), abs(np.sin(np.radians(angle)))
    width = max(round(scale * (place.width * cosine + place.height * sine)), 2)
    height = max(round(scale * (place.width * sine + place.height * cosine)), 2)
    margin = synthesis.context(width, height)
    size = (width + 2 * margin, height + 2 * margin)
    turn = cv2.getRotationMatrix2D((crop.shape[1] / 2, crop.shape[0] / 2), angle, scale)
    turn[:, 2] += ((size[0] - crop.shape[1]) / 2, (size[1] - crop.shape[0]) / 2)
    turned = cv2.warpAffine(crop, turn, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    tint = 1 + rng.uniform(-params.colour, params.colour, size=3)
    light = ((1 + rng.uniform(-params.brightness, params.brightness)) * tint).astype(np.float32)
    return np.clip(turned.astype(np.float32) * light, 0, 255).astype(np.uint8), (width, height)


def _paste(page: Pixels, patch: Pixels, place: PixelBox, params: CopyPaste) -> Pixels:
    """The page with an object on it; Poisson blending where the patch lies well inside the page, else soft edges."""
    height, width = patch.shape[:2]
    x, y = place.x - (width - place.width) // 2, place.y - (height - place.height) // 2
    inside = x > 0 and y > 0 and x + width < page.shape[1] and y + height < page.shape[0]
    if params.blend == "poisson" and inside and min(height, width) >= _LEAST_CLONE:
        whole = np.full((height, width), 255, dtype=np.uint8)
        centre = (x + width // 2, y + height // 2)
        return np.asarray(cv2.seamlessClone(patch, page, whole, centre, cv2.NORMAL_CLONE), dtype=np.uint8)
    lit = patch.astype(np.float32)
    mask = synthesis.soft_mask(place.width, place.height, synthesis.context(place.width, place.height))
    return synthesis.blend(page, lit - synthesis.rim_level(lit), place, mask)


def fit(examples: Sequence[Example], params: Generate, rng: np.random.Generator) -> synthesis.Draw:
    """Fit the layout; the objects stay in their images until they are drawn."""
    del rng  # nothing is learned by chance
    settings = params.copy_paste
    layout = synthesis.fit_layout(examples, occlusion=settings.max_occlusion)
    places: dict[int, list[tuple[int, int]]] = {}
    for number, example in enumerate(examples):
        for index, box in enumerate(example.boxes):
            places.setdefault(box.class_id, []).append((number, index))

    def draw(rng: np.random.Generator) -> Drawn:
        scene = examples[int(rng.integers(len(examples)))]
        page = synthesis.background(scene, rng)
        parents = {scene.image_id}
        taken: list[PixelBox] = []
        boxes = []
        for class_id in layout.classes_of_a_page(rng):
            number, index = places[class_id][int(rng.integers(len(places[class_id])))]
            source = images.read(examples[number].path)
            cut = synthesis.to_pixels(examples[number].boxes[index], source)
            patch, size = _changed(source, cut, settings, rng)
            place = layout.place(rng, size, page, taken)
            if place is None:
                continue
            page = _paste(page, patch, place, settings)
            taken.append(place)
            parents.add(examples[number].image_id)
            boxes.append(synthesis.to_label(place, class_id, page))
        return Drawn(pixels=page, boxes=tuple(boxes), parents=tuple(sorted(parents)))

    return draw
