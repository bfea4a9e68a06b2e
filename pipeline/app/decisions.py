"""Operators with which a person decides on the opened or the selected image."""

from __future__ import annotations

from typing import Any

import fiftyone.operators as foo
from fiftyone.operators import types

from pipeline.adapters import voxel_deciding
from pipeline.core import reviewing
from pipeline.core.errors import UserError
from pipeline.core.ledger import Entry

PLUGIN = "@tailwatch/review"


class Accept(foo.Operator):  # type: ignore[misc]  # FiftyOne has no types
    """Accept the labels that are shown."""

    @property
    def config(self) -> Any:
        """Name and risk."""
        return _config("accept", "Accept the labels", icon="check_circle")

    def resolve_input(self, ctx: Any) -> Any:
        """Who decides, and a remark."""
        return _form(ctx, "Accept the labels as they are shown", reason="A remark (may be empty)")

    def execute(self, ctx: Any) -> dict[str, Any]:
        """Decide."""
        dataset, sample_id, said = _asked(ctx)
        entry = voxel_deciding.decide(dataset, sample_id, "accept", **said)
        return _done(ctx, entry, sample_id, "accepted")


class Reject(foo.Operator):  # type: ignore[misc]
    """Reject the image, with a reason."""

    @property
    def config(self) -> Any:
        """Name and risk."""
        return _config("reject", "Reject the image", icon="cancel")

    def resolve_input(self, ctx: Any) -> Any:
        """Who decides, and why."""
        return _form(ctx, "The image must not be used with these labels", reason="Why", required=True)

    def execute(self, ctx: Any) -> dict[str, Any]:
        """Decide."""
        dataset, sample_id, said = _asked(ctx)
        entry = voxel_deciding.decide(dataset, sample_id, "reject", **said)
        return _done(ctx, entry, sample_id, "rejected")


class Correct(foo.Operator):  # type: ignore[misc]
    """Hand in the labels as they were drawn in the Annotate tab."""

    @property
    def config(self) -> Any:
        """Name and risk."""
        return _config("correct", "Correct: hand in the labels that I drew", icon="edit")

    def resolve_input(self, ctx: Any) -> Any:
        """Who decides, and a remark."""
        return _form(ctx, "The labels as they are drawn now replace the old ones", reason="A remark (may be empty)")

    def execute(self, ctx: Any) -> dict[str, Any]:
        """Decide."""
        dataset, sample_id, said = _asked(ctx)
        entry = voxel_deciding.correct(dataset, sample_id, **said)
        return _done(ctx, entry, sample_id, "corrected")


class Undo(foo.Operator):  # type: ignore[misc]
    """Take back my last decision."""

    @property
    def config(self) -> Any:
        """Name and risk."""
        return _config("undo", "Undo my last decision", icon="undo")

    def resolve_input(self, ctx: Any) -> Any:
        """Whose decision."""
        return _form(ctx, "Take back the last decision of", reason=None)

    def execute(self, ctx: Any) -> dict[str, Any]:
        """Take it back."""
        with voxel_deciding.database_answers(voxel_deciding.NOTHING_TAKEN_BACK):
            dataset = ctx.dataset
        entry = voxel_deciding.undo(dataset, reviewer=_reviewer(ctx))
        return _done(ctx, entry, None, "taken back")


class Next(foo.Operator):  # type: ignore[misc]
    """Open the next image of the queue."""

    @property
    def config(self) -> Any:
        """Name and risk."""
        return _config("next", "Next in the queue", icon="skip_next", risk=types.RiskLevel.LOW)

    def execute(self, ctx: Any) -> dict[str, Any]:
        """Open it."""
        with voxel_deciding.database_answers(voxel_deciding.QUEUE_UNKNOWN):
            return {"sample_id": _open_next(ctx, ctx.params.get("sample_id") or ctx.current_sample)}


OPERATORS = (Accept, Reject, Correct, Undo, Next)


def _config(name: str, label: str, *, icon: str, risk: Any = types.RiskLevel.MEDIUM) -> Any:
    return foo.OperatorConfig(name=name, label=f"Tailwatch: {label}", icon=icon, risk_level=risk)


def _form(ctx: Any, title: str, *, reason: str | None, required: bool = False) -> Any:
    """A form; what is filled in already, such as by a key's own reviewer, stays."""
    inputs = types.Object()
    inputs.str("reviewer", label="Reviewer", default=ctx.params.get("reviewer") or reviewing.reviewer())
    if reason is not None:
        inputs.str("reason", label=reason, default=None, required=required)
    return types.Property(inputs, view=types.PromptView(label=title, submit_button_label="Write into the ledger"))


def _chosen(ctx: Any) -> str:
    """The opened sample, else the one that is selected.

    Raises:
        UserError: it is not clear which.
    """
    if named := ctx.params.get("sample_id") or ctx.current_sample:
        return str(named)
    if len(ctx.selected) != 1:
        raise UserError(f"{len(ctx.selected)} images are selected, wanted one. Open an image, or select just one.")
    return str(ctx.selected[0])


def _reviewer(ctx: Any) -> str:
    """Who decides; a name that was emptied on purpose is not filled in again."""
    return str(ctx.params["reviewer"] or "") if "reviewer" in ctx.params else reviewing.reviewer()


def _asked(ctx: Any) -> tuple[Any, str, dict[str, Any]]:
    """The dataset, the sample, and what a person gave with a decision, with the view that was before them.

    Raises:
        UserError: the database fails, or it is not clear which sample.
    """
    with voxel_deciding.database_answers(voxel_deciding.NOTHING_DECIDED):
        said = {"reviewer": _reviewer(ctx), "reason": str(ctx.params.get("reason") or ""), "view": ctx.view}
        return ctx.dataset, _chosen(ctx), said


def _done(ctx: Any, entry: Entry, sample_id: str | None, word: str) -> dict[str, Any]:
    """Say what was done; a key opens the next image, a form leaves this one open."""
    ctx.ops.notify(f"{word}: {entry.image_id[:12]} by {entry.reviewer}", variant="success")
    # For the keys of this tab: who is named in a form goes on deciding, until the form has the usual name again.
    named = "" if entry.reviewer == reviewing.reviewer() else entry.reviewer
    ctx.trigger(f"{PLUGIN}/remember_reviewer", params={"reviewer": named})
    if ctx.params.get("next"):
        with voxel_deciding.database_answers(voxel_deciding.in_ledger(entry.image_id[:12])):
            _open_next(ctx, sample_id)
    ctx.ops.reload_samples()
    return {"decision": entry.decision, "image_id": entry.image_id, "label_digest": entry.label_digest}


def _open_next(ctx: Any, after: str | None) -> str | None:
    found = voxel_deciding.next_in_queue(ctx.dataset, after)
    if found is None:
        ctx.ops.notify("the queue is done", variant="info")
    else:
        ctx.ops.open_sample(id=found)
    return found
