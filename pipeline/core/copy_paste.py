"""Cut objects out of training images and paste them onto other backgrounds.

Source of the idea: Dwibedi, Misra & Hebert 2017, "Cut, Paste and Learn"; Poisson blending: Pérez, Gangnet & Blake 2003.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from pipeline.core import images, synthesis
from pipeline.core.params import CopyPaste, Generate
from pipeline.core.synthesis import Drawn, Example, Floats, PixelBox, Pixels


def _changed(crop: Pixels, params: CopyPaste, rng: np.random.Generator) -> tuple[Pixels, Floats]:
    """The crop, scaled, rotated and lit anew, and its opacity; cut to the object after the rotation."""
    scale = rng.uniform(*params.scale)
    angle = rng.uniform(-params.rotate, params.rotate)
    height, width = crop.shape[:2]
    cosine, sine = abs(np.cos(np.radians(angle))), abs(np.sin(np.radians(angle)))
    new_width = max(round(scale * (width * cosine + height * sine)), 2)
    new_height = max(round(scale * (width * sine + height * cosine)), 2)
    turn = cv2.getRotationMatrix2D((width / 2, height / 2), angle, scale)
    turn[:, 2] += (new_width / 2 - width / 2, new_height / 2 - height / 2)
    size = (new_width, new_height)
    turned = cv2.warpAffine(crop, turn, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    mask = cv2.warpAffine(synthesis.soft_mask(width, height), turn, size, flags=cv2.INTER_LINEAR)
    light = 1 + rng.uniform(-params.brightness, params.brightness)
    return np.clip(turned.astype(np.float32) * light, 0, 255).astype(np.uint8), mask


def _paste(page: Pixels, patch: Pixels, place: PixelBox, mask: Floats, params: CopyPaste) -> Pixels:
    height, width = page.shape[:2]
    inside = 0 < place.x and place.x + place.width < width and 0 < place.y and place.y + place.height < height
    if params.blend == "poisson" and inside and min(place.width, place.height) > 3:  # noqa: PLR2004 - needs an inside
        whole = np.full(patch.shape[:2], 255, dtype=np.uint8)
        centre = (place.x + place.width // 2, place.y + place.height // 2)
        return np.asarray(cv2.seamlessClone(patch, page, whole, centre, cv2.NORMAL_CLONE), dtype=np.uint8)
    lit = patch.astype(np.float32)
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
            crop = synthesis.to_pixels(examples[number].boxes[index], source).cut(source)
            patch, mask = _changed(crop, settings, rng)
            place = layout.place(rng, (patch.shape[1], patch.shape[0]), page, taken)
            if place is None:
                continue
            page = _paste(page, patch, place, mask, settings)
            taken.append(place)
            parents.add(examples[number].image_id)
            boxes.append(synthesis.to_label(place, class_id, page))
        return Drawn(pixels=page, boxes=tuple(boxes), parents=tuple(sorted(parents)))

    return draw
