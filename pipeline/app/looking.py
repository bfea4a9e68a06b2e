"""Operators that help to look: two runs beside each other, and a copy of what is selected."""

from __future__ import annotations

from typing import Any

import fiftyone as fo
import fiftyone.operators as foo
from fiftyone.operators import types

from pipeline.adapters import voxel_deciding, voxel_exports, voxel_views, voxel_workspace


class Compare(foo.Operator):  # type: ignore[misc]  # FiftyOne has no types
    """Show two runs in the Model Evaluation panel, and the boxes that the second one lost."""

    @property
    def config(self) -> Any:
        """Name and risk."""
        return foo.OperatorConfig(
            name="compare", label="Tailwatch: Compare two runs", icon="compare", risk_level=types.RiskLevel.LOW
        )

    def resolve_input(self, ctx: Any) -> Any:
        """Which runs."""
        runs = list(ctx.dataset.info["runs"]) if ctx.dataset else []
        inputs = types.Object()
        for name, label, default in (("first", "Run", runs[:1]), ("second", "Compared with", runs[-1:])):
            inputs.enum(name, runs, label=label, required=True, default=default[0] if default else None)
        return types.Property(inputs, view=types.PromptView(label="Compare two runs", submit_button_label="Compare"))

    def execute(self, ctx: Any) -> dict[str, Any]:
        """Show them."""
        voxel_deciding.check_project(ctx.dataset)
        first, second = (str(ctx.params.get(name) or "") for name in ("first", "second"))
        view = voxel_views.lost_between(fo, ctx.dataset, first, second)
        ctx.ops.set_view(view)
        ctx.ops.set_spaces(voxel_workspace.layout(fo, ctx.dataset, first, second, front="comparison"))
        return {"images": len(view)}


class Export(foo.Operator):  # type: ignore[misc]
    """Write the selected images, or those of the view, with their labels into a folder of the project."""

    @property
    def config(self) -> Any:
        """Name and risk."""
        return foo.OperatorConfig(
            name="export", label="Tailwatch: Export the selection", icon="download", risk_level=types.RiskLevel.MEDIUM
        )

    def resolve_input(self, ctx: Any) -> Any:
        """Where to, and as what."""
        inputs = types.Object()
        inputs.str("name", label="Name of a new folder in exports/", required=True)
        inputs.enum("format", list(voxel_exports.FORMATS), label="Format", required=True, default="COCO")
        what = f"the {len(ctx.selected)} selected images" if ctx.selected else "all images of the view"
        return types.Property(inputs, view=types.PromptView(label=f"Export {what}", submit_button_label="Export"))

    def execute(self, ctx: Any) -> dict[str, Any]:
        """Write them."""
        voxel_deciding.check_project(ctx.dataset)
        name, kind = (str(ctx.params.get(key) or "") for key in ("name", "format"))
        samples = ctx.dataset.select(ctx.selected) if ctx.selected else ctx.view
        folder, number = voxel_exports.write(samples, name, kind)
        ctx.ops.notify(f"{number} images are in {folder}", variant="success")
        return {"folder": str(folder), "images": number}


OPERATORS = (Compare, Export)
