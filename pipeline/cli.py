"""The command line: ``tailwatch``. Heavy packages are imported by the commands that need them."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from pipeline.cli_ratio import ratio
from pipeline.cli_schedule import schedule
from pipeline.core.errors import UserError

if TYPE_CHECKING:
    from pipeline.core.layouts import Kind


class _Commands(click.Group):
    """Commands whose user errors are one message and exit code 1."""

    def invoke(self, ctx: click.Context) -> object:
        """Run a command."""
        from pipeline.core import environment, stage

        try:
            environment.take_in()
            return super().invoke(ctx)
        except UserError as error:
            stage.report(f"error: {error}")
            sys.exit(1)
        except OSError as error:
            stage.report(f"error: {stage.explain(error)}")
            sys.exit(1)


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="tailwatch")
def main() -> None:
    """Keep object detectors from forgetting the real world while they train on synthetic images."""


main.add_command(ratio)
main.add_command(schedule)


@main.command()
@click.option("--arm", help="Only the runs of this arm.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option("--github", is_flag=True, help="In a GitHub job: annotate, and add the report's summary to its page.")
def check(arm: str | None, *, as_json: bool, github: bool) -> None:
    """Print the verdicts; the exit code is that of the worst arm.

    0 healthy, 3 collapsing, 4 inconclusive, 1 error. An arm's verdict is that of its newest run.
    """
    from pipeline import checking

    summary = checking.collect(arm)
    click.echo(checking.as_json(summary) if as_json else checking.as_text(summary))
    if github:
        click.echo(checking.annotate(summary))
    sys.exit(checking.exit_code(summary))


@main.command()
@click.option(
    "--source", required=True, type=click.Path(readable=False, path_type=Path), help="Folder or file of the dataset."
)
@click.option("--format", "kind", type=click.Choice(["yolo", "coco", "voc"]), help="By default the one that is found.")
@click.option("--minutes", default=60.0, show_default=True, help="That all runs together may take.")
@click.option("--no-probe", is_flag=True, help="Time no training step; choose by the data alone.")
@click.option("--max-rejected", type=click.FloatRange(0, 1), help="Largest share of unusable images, and of boxes.")
@click.option("--dry-run", is_flag=True, help="Print what would change in params.yaml, and write nothing.")
@click.option("--force", is_flag=True, help="Also where runs of other data have outputs.")
def init(
    *, source: Path, kind: Kind | None, minutes: float, no_probe: bool, max_rejected: float | None, dry_run: bool,
    force: bool,
) -> None:  # fmt: skip
    """Set params.yaml up for a dataset of your own, and for this machine.

    Says what was found, how long it will take, and what the test split can and cannot prove.
    """
    from pipeline import initialising, proposal_words
    from pipeline.core import project_lock

    wanted = initialising.Wanted(
        source=source, kind=kind, minutes=minutes, probe=not no_probe, max_rejected=max_rejected, force=force
    )
    with project_lock.exclusive("tailwatch init"):
        found = initialising.propose(wanted)
        click.echo(proposal_words.as_text(found) + "\n")
        if dry_run:
            click.echo(found.diff() or "params.yaml is as proposed already.")
            return
        click.echo(proposal_words.next_steps(found, initialising.write(found)))


@main.command()
@click.option("--quick", is_flag=True, help="Leave out what takes seconds: starting mongod, asking torch for a GPU.")
def doctor(*, quick: bool) -> None:
    """Check everything that can be wrong with an installation, and say how to mend it."""
    from pipeline import doctor as examiner

    findings = examiner.examine(quick=quick)
    click.echo(examiner.render(findings))
    sys.exit(1 if any(finding.status == "problem" for finding in findings) else 0)


@main.command()
@click.option("--reviewer", required=True, help="Who checked the labels.")
@click.option("--reason", required=True, help="Where the images come from, and how they were checked.")
@click.option("--yes", is_flag=True, help="Do not ask.")
def accept(reviewer: str, reason: str, *, yes: bool) -> None:
    """Accept all ingested images, with their present labels, in one row of the ledger."""
    from pipeline import accepting

    pending = accepting.pending()
    if not pending.images:
        click.echo("Every ingested image is accepted already.")
        return
    click.echo(f"{pending.images} images with {pending.boxes} boxes are not accepted yet.")
    if not yes:
        click.confirm("Did a person check their labels?", abort=True)
    entry = accepting.accept(reviewer=reviewer, reason=reason)
    click.echo(f"Accepted as import {entry.image_id[:12]}; commit data/ledger.csv and data/imports.")


@main.command("new-baseline")
@click.option("--yes", is_flag=True, help="Do not ask.")
def new_baseline(*, yes: bool) -> None:
    """Retire the frozen test split, so that the next `dvc repro` freezes a new one and trains a new base."""
    from pipeline import pinning
    from pipeline.core import paths

    if not paths.TEST_LOCK.exists():
        pinning.clear()
        click.echo(f"{paths.TEST_LOCK} is not there: the next `uv run dvc repro` freezes the test split.")
        return
    if not yes:
        click.confirm("Figures of runs on the old test split cannot be compared with new ones. Go on?", abort=True)
    pinning.clear()
    paths.TEST_LOCK.unlink()
    click.echo(f"{paths.TEST_LOCK} is retired; git keeps it. The next `uv run dvc repro` begins a new baseline.")


@main.command()
@click.option("--class", "name", help="One class, rare or not; by default all rare classes.")
@click.option("--loss", default=0.1, show_default=True, help="Loss of recall to be seen, in (0, 1).")
@click.option("--power", default=0.8, show_default=True, help="Chance of seeing it on a night, in (0.5, 1).")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def plan(name: str | None, loss: float, power: float, *, as_json: bool) -> None:
    """Say how many more test boxes each rare class needs, for the gate to see a loss.

    Exit code 0: there are enough; 4: more are needed; 1: error.
    """
    from pipeline import planning

    found = planning.plan(name, loss=loss, power=power)
    click.echo(planning.as_json(found) if as_json else planning.as_text(found))
    sys.exit(planning.exit_code(found))


@main.command()
@click.option("--port", type=int, help="Port of the App on localhost; by default review.port of params.yaml.")
@click.option("--no-browser", is_flag=True, help="Do not open a browser.")
@click.option("--rebuild", is_flag=True, help="Build the dataset anew from the files first.")
@click.option("--address", help="Address to listen on instead of localhost; whoever can reach it can read your files.")
@click.option("--reviewer", help="Who decides; by default the user.name of git.")
def review(port: int | None, *, no_browser: bool, rebuild: bool, address: str | None, reviewer: str | None) -> None:
    """Open the audit in the FiftyOne App, on localhost, and decide on images there."""
    from pipeline import review as reviewing

    reviewing.open_app(port=port, browser=not no_browser, rebuild=rebuild, address=address, reviewer=reviewer)


@main.command()
def nightly() -> None:
    """Run one night: a generation more for each active arm, its verdict, and word to those who want to know.

    Exit code as of `tailwatch check`: 0 healthy, 3 collapsing, 4 inconclusive, 1 error. A night that was cut off goes
    on when it is run again.
    """
    from pipeline import nightly as night

    sys.exit(night.run())


@main.command()
def status() -> None:
    """Show the last night and the next one, the verdicts so far, who holds the project, and how fresh the data is."""
    from pipeline import standing_by

    click.echo(standing_by.as_text(standing_by.look(), width=standing_by.columns()))


@main.command()
@click.argument("run")
@click.option("--reviewer", help="Who looked at it; by default the user.name of git.")
@click.option("--reason", default="", help="Why it is to be used; wanted where the run is not HEALTHY.")
def promote(run: str, reviewer: str | None, reason: str) -> None:
    """Use the weights of RUN from now on, in models/current; a retired run is fetched.

    A COLLAPSING arm goes on after that: a person has looked at it.
    """
    from pipeline import promoting
    from pipeline.core import project_lock, reviewing

    with project_lock.exclusive(f"promoting {run}"):
        one = promoting.promote(run, reviewer=reviewer or reviewing.reviewer(), reason=reason)
    click.echo(f"{one.arm} uses {one.now.run} ({one.now.verdict}); commit models/current.")


@main.command()
@click.argument("arm", required=False)
@click.option("--reviewer", help="Who goes back; by default the user.name of git.")
@click.option("--reason", default="", help="Why.")
def rollback(arm: str | None, reviewer: str | None, reason: str) -> None:
    """Go back to the weights that ARM used before; no night promotes those that it leaves again."""
    from pipeline import promoting
    from pipeline.core import project_lock, reviewing

    with project_lock.exclusive("a rollback"):
        one = promoting.rollback(arm, reviewer=reviewer or reviewing.reviewer(), reason=reason)
    click.echo(f"{one.arm} uses {one.now.run} ({one.now.verdict}) again; commit models/current.")


@main.command()
@click.option("--dry-run", is_flag=True, help="Say what would be removed, and remove nothing.")
def prune(*, dry_run: bool) -> None:
    """Remove the files of old runs from this disk, as nightly.keep says, where the DVC remote has every one of them."""
    from pipeline import retention
    from pipeline.core import project_lock

    with project_lock.exclusive("pruning"):
        click.echo(retention.as_text(retention.prune(dry_run=dry_run)))


@main.command()
@click.argument("run")
def restore(run: str) -> None:
    """Bring the files of RUN, a retired run, back from the DVC cache or remote, and check them.

    They lie where they were, under data/. The next night, or `prune`, takes them away again.
    """
    from pipeline import retention
    from pipeline.core import project_lock

    with project_lock.exclusive(f"restoring {run}"):
        found = retention.restore(run)
    click.echo("\n".join(str(path) for path in found))


@main.group()
def ledger() -> None:
    """See and check the record of people's decisions."""


@ledger.command("check")
def check_ledger() -> None:
    """Check the ledger against its chain and the last commit: say what was edited, removed, moved or cut off.

    Exit code 0: it is whole; 1: it is not.
    """
    from pipeline import ledgers

    answer = ledgers.check()
    click.echo(answer.text)
    sys.exit(0 if answer.good else 1)


@ledger.command("log")
@click.argument("image")
def log_image(image: str) -> None:
    """Show an image's decisions, what they come to, and the runs that trained on it.

    IMAGE is its id, the beginning of it, its name or its path.
    """
    from pipeline import ledgers

    click.echo(ledgers.log(image))


@ledger.command("conflicts")
def list_conflicts() -> None:
    """List the images on which people disagree, and the reviewers who are held back."""
    from pipeline import ledgers

    click.echo(ledgers.conflicts())


@ledger.command("release")
@click.argument("name")
@click.option("--reviewer", required=True, help="Who looked at the decisions; another person.")
@click.option("--reason", required=True, help="What that person saw.")
def release_reviewer(name: str, reviewer: str, reason: str) -> None:
    """Let the decisions of a held-back reviewer, NAME, count again, after another person has looked at them."""
    from pipeline import ledgers

    entry = ledgers.release(name, reviewer=reviewer, reason=reason)
    click.echo(f"{name}'s decisions up to {entry.time} count again; commit data/ledger.csv.")


if __name__ == "__main__":
    main()
