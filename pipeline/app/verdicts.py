"""The panel: what the gate says of each arm and run, and why; a click loads the images behind a number."""

from __future__ import annotations

from typing import Any

import fiftyone as fo
import fiftyone.operators as foo
from fiftyone.operators import types

from pipeline.adapters import voxel_deciding, voxel_views, voxel_workspace
from pipeline.core import paths, report_words, review_panel
from pipeline.core.errors import UserError
from pipeline.core.reporting import History


class Verdicts(foo.Panel):  # type: ignore[misc]  # FiftyOne has no types
    """Verdicts, curves and class shares of the project."""

    @property
    def config(self) -> Any:
        """Name and place."""
        return foo.PanelConfig(name=voxel_workspace.PANEL, label="Tailwatch", icon="monitor_heart", surfaces="grid")

    def on_load(self, ctx: Any) -> None:
        """Read the project's figures."""
        ctx.panel.set_state("problem", None)
        try:
            voxel_deciding.check_project(ctx.dataset)
            told = review_panel.history()
        except UserError as error:
            ctx.panel.set_state("problem", str(error))
            return
        for name, (traces, _) in _charts(told).items():
            ctx.panel.set_data(name, traces)

    def on_change_dataset(self, ctx: Any) -> None:
        """Read them anew where another dataset is opened."""
        self.on_load(ctx)

    def render(self, ctx: Any) -> Any:
        """The panel's content."""
        panel = types.Object()
        if problem := ctx.panel.get_state("problem"):
            panel.md(f"**Nothing to show:** {problem}", name="problem_text")
            return types.Property(panel, view=types.GridView(orientation="vertical", padding=2))
        told = review_panel.history()
        panel.md(f"**{report_words.headline(told)}**", name="headline")
        _add_views(panel, self.open_view)
        for arm in told.arms:
            for run in arm.runs:
                if run.judgement is None:
                    continue
                panel.btn(f"run_{run.name.replace('-', '_')}", f"{run.name}: {run.judgement.verdict}",
                          variant="outlined", on_click=self.open_run, params={"run": run.name})  # fmt: skip
                panel.md(run.judgement.reason, name=f"why_{run.name.replace('-', '_')}")
        for name, (_, layout) in _charts(told).items():
            panel.plot(
                name,
                layout=layout,
                height=review_panel.HEIGHT,
                on_click=self.open_share if name == "shares" else self.open_point,
                componentsProps={"item": {"style": {"height": review_panel.HEIGHT}}},  # else as high as the panel
            )
        return types.Property(
            panel, view=types.GridView(orientation="vertical", gap=1, align_x="left",
                                       componentsProps={"grid": {"style": {"padding": 16}}})
        )  # fmt: skip

    def open_view(self, ctx: Any) -> None:
        """Load a saved view."""
        ctx.ops.set_view(name=ctx.params["view"])

    def open_run(self, ctx: Any) -> None:
        """Load what a run lost."""
        _open_run(ctx, str(ctx.params["run"]))

    def open_point(self, ctx: Any) -> None:
        """Load what the clicked run lost: of the chart's class, or all of it."""
        name = str(ctx.params.get("relative_path") or ctx.params.get("path") or "")
        _open_run(ctx, str(ctx.params["id"]), _class_of(review_panel.history(), name.rpartition(".")[2]))

    def open_share(self, ctx: Any) -> None:
        """Load the images of the clicked class that the clicked run was trained with, of its own."""
        run, _, name = str(ctx.params["id"]).partition("/")
        ctx.ops.set_view(voxel_views.of_class(fo, ctx.dataset, run, name, base=paths.BASE))


PANELS = (Verdicts,)


def _charts(told: History) -> dict[str, Any]:
    """Traces and layout of each chart by its name in the panel."""
    numbered = {name: number for number, name in enumerate(told.classes)}
    charts = {f"recall_{numbered[name]}": review_panel.recall_chart(told, name) for name in told.rare}
    return {"map": review_panel.map_chart(told), **charts, "shares": review_panel.share_chart(told)}


def _class_of(told: History, chart: str) -> str | None:
    """The class whose recall a chart shows."""
    number = chart.removeprefix("recall_")
    return told.classes[int(number)] if number != chart else None


def _open_run(ctx: Any, run: str, name: str | None = None) -> None:
    if run == paths.BASE:
        ctx.ops.set_view(voxel_views.of_base(fo, ctx.dataset, run, name))
    else:
        ctx.ops.set_view(name=voxel_views.lost_of(run, name) if name else f"{run}: lost boxes")


def _add_views(panel: Any, open_view: Any) -> None:
    """Buttons for what a person starts with."""
    row = panel.h_stack("start", gap=1, align_y="center")
    for name in ("queue", "awaiting verification", "quarantined", "leaks"):
        row.btn(f"view_{name.replace(' ', '_')}", name.capitalize(), on_click=open_view, params={"view": name})
