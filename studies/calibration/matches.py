"""What many trainings of one configuration find on one pool of test images, and how it is kept."""

from __future__ import annotations

import io
import json
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from pipeline.core import files
from pipeline.core.errors import UserError

PATH = Path(__file__).parent / "matches.npz"
_STEPS = 32767  # of the whole numbers that contributions are kept as

Bools = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class MatchTable:
    """Trainings (t) of one configuration on a pool of test images (i) with boxes (b) of classes (c).

    Attributes:
        image: (b,) the image of each box; sorted.
        class_id: (b,) its class.
        images: in the pool.
        classes: names, by id.
        rare: ids of the rare classes.
        found: by IoU, (t, b): whether each training found each box, at its operating point chosen on val.
        precision: (t, c) AP50-95 on the whole pool.
        shares: (t, i, r) what each image adds to the AP50-95 of each rare class, times that class's boxes:
            a test split's AP is the sum over its images, divided by its boxes.
        common: (t, i) the same for the sum of the AP50-95 of all other classes, as a deviation from it.
        val: (t,) mAP50-95 on val.
        meta: how the table was made.
    """

    image: Ints
    class_id: Ints
    images: int
    classes: tuple[str, ...]
    rare: tuple[int, ...]
    found: dict[float, Bools]
    precision: Floats
    shares: Floats
    common: Floats
    val: Floats
    meta: dict[str, object]

    @property
    def trainings(self) -> int:
        """How many trainings there are."""
        return len(self.val)


def write(path: Path, table: MatchTable) -> None:
    """Write a table; equal tables give equal bytes."""
    arrays: dict[str, npt.NDArray[np.generic]] = {
        "image": table.image.astype(np.uint16),
        "class_id": table.class_id.astype(np.uint8),
        "precision": table.precision.astype(np.float32),
        "val": table.val.astype(np.float32),
    }
    for iou, found in table.found.items():
        arrays[f"found_{iou:g}"] = np.packbits(found, axis=1)
    for name, added in (("shares", table.shares), ("common", table.common)):
        scale = np.abs(added).max(axis=1, keepdims=True) / _STEPS
        arrays[name] = np.round(added / np.where(scale > 0, scale, 1.0)).astype(np.int16)
        arrays[f"{name}_scale"] = scale.astype(np.float32)
    facts = {
        "images": table.images, "classes": table.classes, "rare": table.rare, "ious": list(table.found),
        "meta": table.meta,
    }  # fmt: skip
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression=zipfile.ZIP_LZMA) as archive:
        for name, values in arrays.items():
            part = io.BytesIO()
            np.save(part, values)
            _add(archive, f"{name}.npy", part.getvalue())
        _add(archive, "facts.json", json.dumps(facts, indent=1).encode())
    files.write_bytes(path, buffer.getvalue())


def _add(archive: zipfile.ZipFile, name: str, data: bytes) -> None:
    entry = zipfile.ZipInfo(name)  # dated 1980, so that the time of writing is not in it
    entry.compress_type = zipfile.ZIP_LZMA
    archive.writestr(entry, data)


def read(path: Path = PATH) -> MatchTable:
    """Read a table.

    Raises:
        UserError: it is missing.
    """
    if not path.is_file():
        raise UserError(f"{path} is missing. Run `uv run python -m studies.calibration.tables` to make it.")
    with zipfile.ZipFile(path) as archive:
        facts = json.loads(archive.read("facts.json"))
        arrays = {
            Path(name).stem: np.load(io.BytesIO(archive.read(name)))
            for name in archive.namelist()
            if name.endswith(".npy")
        }
    boxes = len(arrays["image"])
    return MatchTable(
        image=arrays["image"].astype(np.int64),
        class_id=arrays["class_id"].astype(np.int64),
        images=facts["images"],
        classes=tuple(facts["classes"]),
        rare=tuple(facts["rare"]),
        found={
            iou: np.unpackbits(arrays[f"found_{iou:g}"], axis=1, count=boxes).astype(np.bool_) for iou in facts["ious"]
        },
        precision=arrays["precision"].astype(np.float64),
        shares=arrays["shares"] * arrays["shares_scale"].astype(np.float64),
        common=arrays["common"] * arrays["common_scale"].astype(np.float64),
        val=arrays["val"].astype(np.float64),
        meta=facts["meta"],
    )
