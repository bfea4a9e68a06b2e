"""The workspace that the App opens with, and what people may draw in it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pipeline.adapters.voxel_contents import TRUTH, WORKSPACE, Contents, eval_key_of

PANEL = "tailwatch_verdicts"


def save(fo: Any, dataset: Any, contents: Contents) -> None:
    """Save the workspace that the App opens with."""
    base = next(iter(contents.runs))
    other = next((run for run in contents.newest if run in contents.runs), base)
    dataset.save_workspace(
        WORKSPACE,
        layout(fo, dataset, base, other),
        description="Samples, verdicts, two runs compared, embeddings",
        overwrite=True,
    )


def layout(fo: Any, dataset: Any, run: str, other: str, *, front: str = "verdicts") -> Any:
    """Samples on one side; verdicts, two runs compared and embeddings on the other.

    Args:
        fo: FiftyOne.
        dataset: the project's.
        run: that is compared.
        other: with which it is.
        front: the panel in front: verdicts, comparison or embeddings.
    """
    samples = fo.Panel(type="Samples", pinned=True)
    panels = {
        "verdicts": fo.Panel(type=PANEL),
        "comparison": fo.Panel(type="model_evaluation_panel_builtin", state=comparison(dataset, run, other)),
        "embeddings": fo.Panel(type="Embeddings"),  # it opens on its list, whatever state it is given
    }
    return fo.Space(
        orientation="horizontal",
        sizes=[0.55, 0.45],
        children=[
            fo.Space(children=[samples], active_child=samples.component_id),
            fo.Space(children=list(panels.values()), active_child=panels[front].component_id),
        ],
    )


def comparison(dataset: Any, run: str, other: str) -> dict[str, Any]:
    """State of the Model Evaluation panel that shows a run, and another beside it."""
    key, beside = eval_key_of(run), eval_key_of(other)
    identities = {one: str(dataset._doc.evaluations[one].id) for one in (key, beside)}  # noqa: SLF001 - as its own panel does
    view = {"init": True, "page": "evaluation", "key": key, "id": identities[key]}
    if other != run:
        view |= {"compareKey": beside}
    return {"state": {"view": view}}  # a Python panel keeps its own state one level down


def allow_annotation(dataset: Any, classes: Sequence[str]) -> None:
    """Let people draw and change labels in the App, of the project's classes only."""
    dataset.update_label_schema(
        TRUTH, {"type": "detections", "component": "dropdown", "classes": list(classes), "attributes": []}
    )
    dataset.activate_label_schemas(TRUTH)
