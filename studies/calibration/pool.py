"""The images that the calibration's test splits are drawn from: the project's test split, and more pages like it.

A split drawn from no more images than it has would repeat many of them: a box that is there three times is lost three
times over, which makes retraining look noisier than it is. The default project's pages are composed, so as many more
as are wanted come from the same test digits, in the same way; its own test pages are the first of them.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np

from pipeline.core import digits, files, images, labels, manifest, params, paths
from pipeline.core.errors import UserError
from pipeline.core.manifest import SPLITS, Row


def compose(settings: params.Params, own: list[Row], *, pages: int, folder: Path) -> list[Row]:
    """Compose test pages and write their images and labels; they are named as `ingest` names them.

    Args:
        settings: of the project.
        own: the project's own test images; they have to be the first pages.
        pages: how many in all.
        folder: relative to the working directory; gets ``images`` and ``labels``.

    Raises:
        UserError: the project's test images are other ones.
    """
    from sklearn.datasets import load_digits

    composed = settings.ingest.digits
    dataset = load_digits()
    order = [digits.NAMES.index(name) for name in composed.classes]
    targets = [order.index(int(digit)) if int(digit) in order else len(order) for digit in dataset.target]
    shares = [getattr(composed.identities, split) for split in SPLITS]
    identities = digits.split_identities(targets, shares, seed=settings.seed)[SPLITS.index("test")]
    style = digits.PageStyle(
        size=composed.page,
        digit_size=composed.digit,
        digits_a_page=composed.digits_a_page,
        classes=len(order),
        tail=composed.tail.test,
    )
    ink = dataset.images.astype(np.uint8)
    rows = {}  # by image: a page that comes twice is one page
    for number in range(pages):
        page = digits.compose(ink, identities, style, key=f"{settings.seed}/test/{number:05d}")
        row = _write(page, style.size, number=number, folder=folder)
        rows[row.image_id] = row
    missing = {row.image_id for row in own} - set(rows)
    if missing:
        raise UserError(
            f"{len(missing)} of {len(own)} test images are not among the composed pages: see "
            f"{paths.VERIFIED_MANIFEST}. The study is of the default project: set ingest.source to digits, and run "
            "`uv run dvc repro`."
        )
    return list(rows.values())


def _write(page: digits.Page, size: int, *, number: int, folder: Path) -> Row:
    boxes = [
        labels.from_corners(
            placed.class_id,
            [placed.x / size, placed.y / size, (placed.x + placed.width) / size, (placed.y + placed.height) / size],
        )
        for placed in page.digits
    ]
    path = folder / "images" / f"{number:05d}.png"
    files.write_bytes(path, images.encode_png(page.pixels))
    files.write_text(manifest.label_path(path), labels.format_boxes(boxes))
    return Row(
        image_id=hashlib.sha256(f"{size}\n".encode() + page.pixels.tobytes()).hexdigest(),
        name=f"test/{number:05d}",
        path=str(path),
        split="test",
        origin="real",
        generation=0,
        run="",
        parents=(),
        lineage_depth=0,
        human_verified=False,
        label_digest=labels.digest(boxes),
        width=size,
        height=size,
        boxes=manifest.count_boxes(boxes),
    )
