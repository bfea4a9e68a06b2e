"""Copies of images and labels for other tools, in a folder of the project that is not tracked."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from pipeline.adapters.voxel_contents import TRUTH
from pipeline.core import files, paths
from pipeline.core.errors import UserError

FORMATS = {"COCO": "COCODetectionDataset", "YOLO": "YOLOv5Dataset"}


def write(samples: Any, name: str, kind: str) -> tuple[Path, int]:
    """Write images and the labels that are shown; items with known answers are left out.

    Args:
        samples: a FiftyOne dataset or view.
        name: of a new folder in ``exports``.
        kind: COCO or YOLO.

    Returns:
        The folder, and the number of images in it.

    Raises:
        UserError: there is such a folder, its name is none, the format is not known, or nothing is to be exported.
    """
    import fiftyone as fo

    if kind not in FORMATS:
        raise UserError(f"format {kind!r}, wanted one of {', '.join(FORMATS)}.")
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", name):
        raise UserError(f"folder name {name[:100]!r}, wanted letters, digits, '.', '_' and '-'. Give another name.")
    folder = paths.EXPORTS / name
    if folder.exists():
        raise UserError(f"{folder} is there already. Give another name, or remove it.")
    dataset = samples._dataset  # noqa: SLF001 - views have no other word for it
    kept = samples.exclude(dataset.info.get("plants", []))
    number = len(kept)
    if not number:
        raise UserError("no image is selected or in view, so there is nothing to export. Select some.")
    with files.fresh_folder(folder) as made:
        kept.export(
            export_dir=str(made.absolute()),
            dataset_type=getattr(fo.types, FORMATS[kind]),
            label_field=TRUTH,
            classes=list(dataset.info["classes"]),
            export_media=True,
            progress=False,
        )
    return folder, number
