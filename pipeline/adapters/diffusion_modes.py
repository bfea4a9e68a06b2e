"""What a pipeline that the user has can do here: draw objects, change whole images, re-paint objects, fill layouts."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from PIL import Image

from pipeline.adapters import diffusion_device, diffusion_pages, diffusion_pipelines
from pipeline.adapters.diffusion_pages import Painted, Wanted
from pipeline.adapters.diffusion_pipelines import Pipeline
from pipeline.adapters.diffusion_weights import Weights
from pipeline.core import images, labels, synthesis
from pipeline.core.diffusion_settings import Diffusion
from pipeline.core.errors import UserError
from pipeline.core.synthesis import Batched, Drawn, Example, Pixels

_LOADERS = {
    "crops": "AutoPipelineForText2Image",
    "img2img": "AutoPipelineForImage2Image",
    "inpaint": "AutoPipelineForInpainting",
    "layout": "StableDiffusionGLIGENPipeline",
}
_MOST_PHRASES = 30  # objects that GLIGEN is told of; more it leaves out
_JITTER = 0.1  # of an object's size, as standard deviation of its log
_SHIFT = 0.03  # of an object's place, as a fraction of the image
_MARGIN = 0.05  # around an object that is re-painted, as a fraction of its longer side
_EXACT = 1e-6  # of the image: sums of fractions end a hair outside
_SMALLEST = 2  # pixels of an object's sides

Batch = Callable[[Sequence[np.random.Generator]], list[Drawn]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Studio:
    """What every mode works with.

    Attributes:
        pipeline: that draws.
        examples: training images.
        settings: of the section.
        names: of the classes, by id.
        details: go into each image's provenance.
    """

    pipeline: Pipeline
    examples: Sequence[Example]
    settings: Diffusion
    names: Sequence[str]
    details: Mapping[str, str]

    def prompt(self, class_ids: Sequence[int]) -> str:
        """What the pipeline is told of these classes, each named once."""
        named = ", ".join(self.names[one] for one in sorted(set(class_ids)))
        return self.settings.prompt.format(classes=named)

    def with_objects(self) -> list[Example]:
        """The examples that have objects.

        Raises:
            UserError: none has.
        """
        found = [example for example in self.examples if example.boxes]
        if not found:
            raise UserError(
                f"generate.diffusion.mode is {self.settings.mode}, which wants boxes, and no image of the previous run "
                "has one. Choose the mode img2img, or look at what the run before left."
            )
        return found

    def drawn_size(self, pixels: Pixels) -> tuple[int, int]:
        """Width and height at which an image is drawn: its own shape, the longer side as the pipeline has it."""
        height, width = pixels.shape[:2]
        scale = self.pipeline.side / max(height, width)
        step = self.pipeline.multiple
        return max(round(width * scale / step), 1) * step, max(round(height * scale / step), 1) * step


def fit(
    examples: Sequence[Example], settings: Diffusion, names: Sequence[str], weights: Weights, *, device: str
) -> Batched:
    """Load the pipeline, and draw in the mode that is wanted.

    Args:
        examples: training images.
        settings: of the section `generate.diffusion`.
        names: of the classes, by id.
        weights: that were looked at.
        device: in torch's words.

    Raises:
        UserError: the weights cannot do that.
    """
    if settings.mode == "layout" and weights.pipeline != _LOADERS["layout"]:
        raise UserError(
            f"generate.diffusion.mode is layout, and {weights.folder} is a {weights.pipeline}; wanted a "
            f"{_LOADERS['layout']}, which takes boxes, or one of the modes crops, img2img, inpaint."
        )
    labelled = settings.mode == "crops" and _takes_classes(weights.pipeline)
    kind = weights.pipeline if labelled else _LOADERS[settings.mode]
    studio = Studio(
        pipeline=diffusion_pipelines.load(weights, settings, kind=kind, device=device),
        examples=examples,
        settings=settings,
        names=names,
        details={"weights": weights.digest, "mode": settings.mode, **diffusion_device.versions()},
    )
    if settings.mode == "crops":
        painter = CropPainter(studio, labelled=labelled)
        return diffusion_pages.compose(examples, painter, pages=settings.pages, details=studio.details)
    modes: dict[str, Callable[[Studio], Batch]] = {"img2img": changed, "inpaint": repainted, "layout": filled}
    return Batched(size=settings.pages, draw=modes[settings.mode](studio))


def _takes_classes(name: str) -> bool:
    """Whether a pipeline is told classes by number and not in words."""
    found = getattr(diffusion_device.libraries(), name, None)
    return found is not None and "class_labels" in inspect.signature(found.__call__).parameters


class CropPainter:
    """Draws one object an image, told its class, to be put on pages."""

    def __init__(self, studio: Studio, *, labelled: bool) -> None:
        """Look up the classes, where the pipeline knows them by number, and the sizes that objects have."""
        self._studio, self._labelled = studio, labelled
        self._numbers = _class_numbers(studio) if labelled else {}
        self._sizes: dict[int, list[tuple[float, float]]] = {}
        for example in studio.examples:
            for box in example.boxes:
                self._sizes.setdefault(box.class_id, []).append((box.width, box.height))

    def __call__(self, wanted: Sequence[Wanted]) -> list[Painted]:
        """Draw these objects; each by the random numbers of its own page."""
        if not wanted:
            return []
        side = self._studio.pipeline.side
        sizes = [self._size(one) for one in wanted]
        if self._labelled:
            each: dict[str, list[Any]] = {"class_labels": [self._numbers[one.class_id] for one in wanted]}
        else:
            each = {"prompt": [self._studio.prompt([one.class_id]) for one in wanted]}
        drawn = self._studio.pipeline.draw(each, [one.rng for one in wanted], height=side, width=side)
        patches = [pixels.astype(np.float32) for pixels in drawn]
        return [
            Painted(patch=patch - synthesis.rim_level(patch), size=size, parents=())
            for patch, size in zip(patches, sizes, strict=True)
        ]

    def _size(self, wanted: Wanted) -> tuple[int, int]:
        """Width and height in pixels: those of an object of that class, or nearly."""
        known = self._sizes[wanted.class_id]
        width, height = known[int(wanted.rng.integers(len(known)))]
        factor = np.exp(wanted.rng.normal(0, _JITTER))
        rows, columns = wanted.page
        return max(round(width * columns * factor), _SMALLEST), max(round(height * rows * factor), _SMALLEST)


def _class_numbers(studio: Studio) -> dict[int, int]:
    """The pipeline's number of each class, by name where it has names."""
    known = getattr(studio.pipeline.call, "labels", None)
    present = sorted({box.class_id for example in studio.examples for box in example.boxes})
    if not known:
        return {one: one for one in present}
    missing = [studio.names[one] for one in present if studio.names[one] not in known]
    if missing:
        raise UserError(
            f"generate.diffusion.weights: {studio.settings.weights} knows {len(known)} classes by name, and not "
            f"{', '.join(missing)}."
        )
    return {one: int(known[studio.names[one]]) for one in present}


def changed(studio: Studio) -> Batch:
    """Whole images, drawn over examples; the boxes stay where they were."""

    def draw(sources: Sequence[np.random.Generator]) -> list[Drawn]:
        scenes = [studio.examples[int(rng.integers(len(studio.examples)))] for rng in sources]
        before = [images.read(scene.path) for scene in scenes]
        prompts = [studio.prompt([box.class_id for box in scene.boxes]) for scene in scenes]
        after = _over(studio, before, prompts, sources)
        return [
            Drawn(pixels=pixels, boxes=scene.boxes, parents=(scene.image_id,), details=studio.details)
            for pixels, scene in zip(after, scenes, strict=True)
        ]

    return draw


def repainted(studio: Studio) -> Batch:
    """Examples whose objects are painted anew, one class after the other, so that each has its own prompt."""
    peopled = studio.with_objects()  # a background would stay as it is, and be a copy

    def draw(sources: Sequence[np.random.Generator]) -> list[Drawn]:
        scenes = [peopled[int(rng.integers(len(peopled)))] for rng in sources]
        pages = [images.read(scene.path) for scene in scenes]
        left = [sorted({box.class_id for box in scene.boxes}) for scene in scenes]
        while any(left):
            these = [number for number, classes in enumerate(left) if classes]
            now = {number: left[number].pop(0) for number in these}
            masks = [_mask(pages[number], scenes[number].boxes, now[number]) for number in these]
            prompts = [studio.prompt([now[number]]) for number in these]
            after = _over(studio, [pages[one] for one in these], prompts, [sources[one] for one in these], masks)
            for number, pixels, mask in zip(these, after, masks, strict=True):
                pages[number] = np.where(mask[:, :, None] > 0, pixels, pages[number])
        return [
            Drawn(pixels=pixels, boxes=scene.boxes, parents=(scene.image_id,), details=studio.details)
            for pixels, scene in zip(pages, scenes, strict=True)
        ]

    return draw


def _mask(page: Pixels, boxes: Sequence[labels.Box], class_id: int) -> Pixels:
    """255 where objects of a class are, and a little around them."""
    mask = np.zeros(page.shape[:2], dtype=np.uint8)
    for box in boxes:
        if box.class_id == class_id:
            place = synthesis.to_pixels(box, page)
            margin = max(1, round(_MARGIN * max(place.width, place.height)))
            mask[max(place.y - margin, 0) : place.y + place.height + margin,
                 max(place.x - margin, 0) : place.x + place.width + margin] = 255  # fmt: skip
    return mask


def _over(
    studio: Studio,
    before: Sequence[Pixels],
    prompts: Sequence[str],
    sources: Sequence[np.random.Generator],
    masks: Sequence[Pixels] | None = None,
) -> list[Pixels]:
    """Images drawn over others, of their size; those of one size are drawn together."""
    sizes = [studio.drawn_size(pixels) for pixels in before]
    after: dict[int, Pixels] = {}
    for size in sorted(set(sizes)):
        these = [number for number, one in enumerate(sizes) if one == size]
        each: dict[str, list[Any]] = {
            "prompt": [prompts[one] for one in these],
            "image": [Image.fromarray(_resized(before[one], size)[:, :, ::-1]) for one in these],
        }
        if masks is not None:
            each["mask_image"] = [Image.fromarray(_resized(masks[one], size, exact=True)) for one in these]
        drawn = studio.pipeline.draw(
            each, [sources[one] for one in these],
            strength=studio.settings.strength, width=size[0], height=size[1],
        )  # fmt: skip
        for number, pixels in zip(these, drawn, strict=True):
            after[number] = _resized(pixels, (before[number].shape[1], before[number].shape[0]))
    return [after[number] for number in range(len(before))]


def _resized(pixels: Pixels, size: tuple[int, int], *, exact: bool = False) -> Pixels:
    """The image at this width and height; ``exact`` makes no new values, as masks want it."""
    shrinks = size[0] * size[1] < pixels.shape[0] * pixels.shape[1]
    smooth = cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC
    way = cv2.INTER_NEAREST if exact else smooth
    return np.ascontiguousarray(cv2.resize(pixels, size, interpolation=way), dtype=np.uint8)


def filled(studio: Studio) -> Batch:
    """Whole images drawn from layouts alone: those of examples, each object moved a little."""
    laid_out = studio.with_objects()

    def draw(sources: Sequence[np.random.Generator]) -> list[Drawn]:
        drawn = []
        for rng in sources:  # GLIGEN takes the boxes of one image at a time
            scene = laid_out[int(rng.integers(len(laid_out)))]
            before = images.read(scene.path)
            boxes = tuple(_moved(box, rng) for box in scene.boxes[:_MOST_PHRASES])
            width, height = studio.drawn_size(before)
            pixels = studio.pipeline.draw(
                {"prompt": [studio.prompt([box.class_id for box in boxes])]}, [rng], width=width, height=height,
                gligen_phrases=[studio.names[box.class_id] for box in boxes],
                gligen_boxes=[list(box.corners()) for box in boxes],
            )[0]  # fmt: skip
            pixels = _resized(pixels, (before.shape[1], before.shape[0]))
            drawn.append(Drawn(pixels=pixels, boxes=boxes, parents=(scene.image_id,), details=studio.details))
        return drawn

    return draw


def _moved(box: labels.Box, rng: np.random.Generator) -> labels.Box:
    """The box a little elsewhere, and a little larger or smaller; all of it inside the image."""
    factor = float(np.exp(rng.normal(0, _JITTER)))
    width, height = min(box.width * factor, 1.0), min(box.height * factor, 1.0)
    shift = rng.normal(0, _SHIFT, size=2)
    x = float(np.clip(box.x + shift[0], width / 2, 1 - width / 2))
    y = float(np.clip(box.y + shift[1], height / 2, 1 - height / 2))
    return labels.from_corners(
        box.class_id, (x - width / 2, y - height / 2, x + width / 2, y + height / 2), tolerance=_EXACT
    )
