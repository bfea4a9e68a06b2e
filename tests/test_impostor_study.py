"""The study of what is caught: its rates are what the docs show, they meet what is promised, and it counts right."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.core import portraits
from studies.impostors import datasets, measuring, table
from studies.impostors.changes import CHANGES
from studies.impostors.datasets import Dataset
from tests.builders import row, sha
from tests.core.test_impostors import scene
from tests.project import ROOT

ALWAYS = ("pixels in another container", "JPEG at quality 30", "JPEG at quality 60", "JPEG at quality 95")
MEASURED = pytest.mark.parametrize("measured", table.read().datasets, ids=lambda one: one.name)


def test_docs_show_the_result() -> None:
    """The tables in the docs are those of the committed result, to the digit."""
    shown = (ROOT / "docs" / "impostors.md").read_text()
    for one in table.text(table.read()).strip().split("\n\n"):
        assert one in shown


@MEASURED
def test_what_is_promised(measured: measuring.Measured) -> None:
    """Exact and re-encoded copies are all caught, every other change at 95 % or more, each as what it is."""
    assert [rate.what for rate in measured.copies] == list(CHANGES)
    for rate in measured.copies:
        assert rate.right >= rate.images * (1 if rate.what in ALWAYS else 0.95), rate


@MEASURED
def test_real_images_are_left_alone(measured: measuring.Measured) -> None:
    """Under 1 % of the real images are flagged, of those that synthetic ones were made from too."""
    assert all(rate.found < 0.01 * rate.images for rate in measured.flags)
    assert measured.nearness[0].called_copies == 0


def test_the_measuring_counts() -> None:
    """Copies are found as what they are; a real image that is a synthetic one's twin counts as flagged."""
    real = {sha(seed): scene(seed) for seed in (1, 2, 3, 4)}
    rows = tuple(row(str(seed), image_id=sha(seed)) for seed in (1, 2, 3, 4))
    synthetic = (scene(10), scene(11), scene(12), np.ascontiguousarray(scene(3)[:, ::-1]))
    data = Dataset(name="scenes", used=rows[:2], new=rows[2:], synthetic=synthetic, pixels=real)
    found = measuring.measure(data, copies=4)
    assert (found.name, found.real, found.synthetic) == ("scenes", 4, 4)
    assert {(rate.images, rate.found, rate.right) for rate in found.copies} == {(4, 4, 4)}
    assert [(rate.images, rate.found) for rate in found.flags] == [(2, 1), (2, 0)]
    assert [(one.images, one.called_copies) for one in found.nearness] == [(2, 1), (2, 0)]
    assert found.nearness[0].most > 0.99 > found.nearness[1].most


def test_near_of_nothing_alike() -> None:
    """An image that is like no other counts with a correlation of 0."""
    flat = portraits.portrait(np.full((64, 64, 3), 90, dtype=np.uint8), image_id=sha("flat"), name="flat")
    known = [portraits.portrait(scene(1), image_id=datasets.image_id(1), name="1")]
    assert measuring.near("flat", [flat], known).most == 0
