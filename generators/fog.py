"""Fog over training images: a generator in one file."""

import cv2
import numpy as np

from pipeline.core import images
from pipeline.core.synthesis import Drawn


def fit(examples, settings, rng):
    """Learn from the examples; give back a function that draws one image each time it is called."""
    densest = settings.options.get("density", 0.6)
    haze = np.mean([images.read(one.path).max(axis=(0, 1)) for one in examples[:100]], axis=0)

    def draw(rng):
        scene = examples[rng.integers(len(examples))]
        pixels = images.read(scene.path).astype(np.float32)
        height, width = pixels.shape[:2]
        cloud = rng.uniform(0, densest, size=(4, 4)).astype(np.float32)
        fog = cv2.resize(cloud, (width, height), interpolation=cv2.INTER_LINEAR)[:, :, None]
        foggy = pixels + fog * (haze - pixels)
        return Drawn(pixels=foggy.astype(np.uint8), boxes=scene.boxes, parents=(scene.image_id,))

    return draw
