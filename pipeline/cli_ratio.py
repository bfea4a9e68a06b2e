"""The command ``tailwatch ratio``."""

from __future__ import annotations

import sys
import time
from typing import Literal

import click


class _Shares(click.ParamType[tuple[float, ...]]):
    """Numbers with commas between."""

    name = "shares"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> tuple[float, ...]:
        """Read them."""
        if isinstance(value, tuple):
            return value
        try:
            return tuple(float(one) for one in str(value).split(",") if one.strip())
        except ValueError:
            self.fail(f"{value!r}, wanted numbers with commas between, as 0.5,0.25,0.1", param, ctx)


@click.command()
@click.option("--arm", help="Arm whose policy is tried; by default `guarded`, or the first one.")
@click.option("--question", type=click.Choice(["share", "number", "both"]), default="both", show_default=True,
              help="Share in the mixture, or number of real images that there are at all.")  # fmt: skip
@click.option("--shares", type=_Shares(), metavar="A,B,…", help="Levels, as shares of real images in [0, 1).")
@click.option("--generations", type=int, default=2, show_default=True, help="Of each chain; the last one is judged.")
@click.option("--min-seeds", type=int, default=2, show_default=True, help="Seeds before a level is judged.")
@click.option("--seeds", type=int, default=4, show_default=True, help="Most seeds of a level.")
@click.option("--map-margin", type=float, help="Loss of mAP50-95 that matters; by default gate.map_margin.")
@click.option("--recall-margin", type=float, help="Loss of recall that matters; by default gate.recall_margin.")
@click.option("--trainings", type=click.IntRange(min=1), help="Most trainings of this call.")
@click.option("--minutes", type=click.FloatRange(min=0, min_open=True), help="That this call may take, about.")
@click.option("--dry-run", is_flag=True, help="Say what it will cost, and train nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def ratio(
    *, arm: str | None, question: Literal["share", "number", "both"], shares: tuple[float, ...] | None,
    generations: int, min_seeds: int, seeds: int, map_margin: float | None, recall_margin: float | None,
    trainings: int | None, minutes: float | None, dry_run: bool, as_json: bool,
) -> None:  # fmt: skip
    """Find out how many real images are enough: the smallest share, and the smallest number, by as few trainings.

    Each level is a chain of generations, held against training on real images alone. Exit code 0: both questions are
    answered; 4: something is open; 1: error. What was cut off goes on when it is run again.
    """
    from pipeline import ratio as finding
    from pipeline import ratio_plan
    from pipeline.core import project_lock, stage

    end = None if minutes is None else time.monotonic() + 60 * minutes
    wanted = ratio_plan.Wanted(
        arm=arm, questions=("share", "number") if question == "both" else (question,),
        shares=ratio_plan.SHARES if shares is None else shares, generations=generations, min_seeds=min_seeds,
        max_seeds=seeds, map_margin=map_margin, recall_margin=recall_margin,
    )  # fmt: skip
    if dry_run:
        click.echo(ratio_plan.as_text(ratio_plan.plan(wanted)))
        return
    try:
        with project_lock.exclusive("tailwatch ratio"):
            plan = ratio_plan.plan(wanted)
            stage.report(ratio_plan.as_text(plan))
            found = finding.find(plan, finding.Budget(trainings=trainings, end=end), finding.here)
    except KeyboardInterrupt:
        stage.report("interrupted; nothing was half written. Run the same command again to go on.")
        sys.exit(130)
    click.echo(finding.as_json() if as_json else finding.as_text(found))
    sys.exit(finding.ANSWERED if found.answered else finding.OPEN)
