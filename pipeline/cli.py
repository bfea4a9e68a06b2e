"""The command line: ``tailwatch``. Heavy packages are imported by the commands that need them."""

from __future__ import annotations

import sys

import click

from pipeline.core.errors import UserError


class _Commands(click.Group):
    """Commands whose user errors are one message and exit code 1."""

    def invoke(self, ctx: click.Context) -> object:
        """Run a command."""
        from pipeline.core import stage

        try:
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


@main.command()
@click.option("--arm", help="Only the runs of this arm.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def check(arm: str | None, *, as_json: bool) -> None:
    """Print the verdicts; the exit code is that of the worst arm.

    0 healthy, 3 collapsing, 4 inconclusive, 1 error. An arm's verdict is that of its newest run.
    """
    from pipeline import checking

    summary = checking.collect(arm)
    click.echo(checking.as_json(summary) if as_json else checking.as_text(summary))
    sys.exit(checking.exit_code(summary))


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
    from pipeline.core import paths

    if not paths.TEST_LOCK.exists():
        click.echo(f"{paths.TEST_LOCK} is not there: the next `uv run dvc repro` freezes the test split.")
        return
    if not yes:
        click.confirm("Figures of runs on the old test split cannot be compared with new ones. Go on?", abort=True)
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
