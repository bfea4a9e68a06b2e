"""The commands of ``tailwatch schedule``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from pipeline.scheduling import Made


@click.group()
def schedule() -> None:
    """Make what starts the nights at the times of nightly.schedule: a systemd timer, a crontab line, a workflow."""


@schedule.command("systemd")
@click.option("--user", is_flag=True, help="For your own service manager: needs no root, hides less.")
@click.option("--name", help="Name of the units; by default that of the project's folder.")
@click.option("--account", help="Account that nights run as; by default the owner of the project's folder.")
@click.option("--memory-max", metavar="SIZE", help="Most memory of a night, such as 24G or 80%.")
@click.option("--write", type=click.Path(file_okay=False), metavar="DIR", help="Write the files there.")
def systemd(*, user: bool, name: str | None, account: str | None, memory_max: str | None, write: str | None) -> None:
    """A hardened service that runs one night, and a timer that also makes up for a night that was missed."""
    from pipeline import scheduling

    made = scheduling.systemd(user=user, name=name, account=account, memory_max=memory_max)
    _hand_over(made, write)


@schedule.command("cron")
@click.option("--write", type=click.Path(file_okay=False), metavar="DIR", help="Write the file there.")
def cron(write: str | None) -> None:
    """One line for a crontab."""
    from pipeline import scheduling

    _hand_over(scheduling.cron(), write)


@schedule.command("github")
@click.option("--label", "labels", multiple=True, default=["self-hosted", "linux"], help="Label of the runner.")
@click.option("--time-zone", "zone", metavar="NAME", help="Of the schedule; by default this machine's.")
@click.option("--write", type=click.Path(file_okay=False), metavar="DIR", help="Write the file there.")
def github(labels: tuple[str, ...], zone: str | None, write: str | None) -> None:
    """A GitHub Actions workflow for a self-hosted runner."""
    from pipeline import scheduling

    _hand_over(scheduling.github(labels=labels, zone=zone), write)


def _hand_over(made: Made, write: str | None) -> None:
    """Write the files, or print them; what to do with them goes to standard error."""
    if write:
        for path in made.write(Path(write)):
            click.echo(path)
    else:
        several = len(made.files) > 1
        for name, text in made.files.items():
            click.echo(f"# {name}\n{text}" if several else text, nl=several)
    click.echo(made.instructions(write), err=True)
