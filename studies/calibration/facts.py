"""What the page says of the match table."""

from __future__ import annotations

from collections.abc import Mapping

from studies.calibration.matches import MatchTable


def of_table(table: MatchTable) -> dict[str, float | str]:
    """What the page says of the match table."""
    found: dict[str, float | str] = {"trainings": table.trainings, "images": table.images}
    for iou, hits in table.found.items():
        for class_id in table.rare:
            recall = hits[:, table.class_id == class_id].mean(axis=1)
            name = f"{table.classes[class_id]} at IoU {iou:g}"
            found[f"recall of {name}"] = round(float(recall.mean()), 3)
            found[f"recall of {name}, between trainings"] = round(float(recall.std(ddof=1)), 4)
    for class_id in table.rare:
        found[f"boxes of {table.classes[class_id]}"] = int((table.class_id == class_id).sum())
    mean = table.precision.mean(axis=1)
    found["mAP50-95"] = round(float(mean.mean()), 3)
    found["mAP50-95, between trainings"] = round(float(mean.std(ddof=1)), 4)
    checked = table.meta.get("checks")
    if isinstance(checked, Mapping):
        found |= {f"check: {name}": round(float(value), 4) for name, value in checked.items()}
    found["made by"] = str(table.meta.get("command", ""))
    return found
