"""What starts the nights: a systemd service and timer, a crontab line, a GitHub Actions workflow."""

from __future__ import annotations

import os
import pwd
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.adapters import dvc_places
from pipeline.core import files, params, paths, quoting, timetables
from pipeline.core.errors import UserError
from pipeline.core.night_settings import Nightly

_TEMPLATES = Path(__file__).parent / "templates" / "schedules"
_SYSTEM_FOLDERS = ("/usr/local/bin", "/usr/bin", "/bin")
_NAME = re.compile(r"[\w.-]+", re.ASCII)
_LABEL = re.compile(r"[\w.-]+", re.ASCII)
_MEMORY = re.compile(r"\d+[KMGT]?|\d{1,2}%|100%", re.ASCII)
_VARIABLE = re.compile(r"env:([A-Za-z_][A-Za-z0-9_]*)")
_ZONE = re.compile(r"[\w+-]+(/[\w+-]+)*", re.ASCII)
_LONGEST = 998  # bytes of a command that Debian's cron takes
_TEMPORARY = (Path("/tmp"), Path("/var/tmp"))  # noqa: S108 - named, not used
_LOG = paths.STATE / "cron.log"


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """Files that start the nights.

    Attributes:
        files: their texts, by name.
        install: what to do with them, for a person.
    """

    files: dict[str, str]
    install: str

    def instructions(self, folder: str | None) -> str:
        """What to do with the files in a folder, or after they were printed."""
        return self.install.replace("DIR", shlex.quote(folder) if folder else "DIR")

    def write(self, folder: Path) -> list[Path]:
        """Write the files into a folder, each whole or not at all; gives their paths."""
        written = [folder / name for name in self.files]
        for path, text in zip(written, self.files.values(), strict=True):
            files.write_text(path, text)
        return written


@dataclass(frozen=True, slots=True, kw_only=True)
class _Place:
    """The project on this machine: its folder, the command that runs a night, and what that needs."""

    folder: str
    command: str
    search_path: str

    @property
    def name(self) -> str:
        """A name for units, of the folder's."""
        slug = re.sub(r"[^A-Za-z0-9_.-]+", "-", Path(self.folder).name).strip("-.")
        return f"tailwatch-{slug or 'project'}"


def systemd(
    *, user: bool = False, name: str | None = None, account: str | None = None, memory_max: str | None = None
) -> Made:
    """A hardened service that runs one night, and a timer that starts it.

    Args:
        user: for the user's own service manager, which needs no root and cannot hide the file system.
        name: of the units; by default that of the project's folder.
        account: that nights run as; by default the owner of the project's folder. Not for ``user``.
        memory_max: most memory, such as ``24G`` or ``80%``; None for no limit.

    Raises:
        UserError: the schedule, the folder or an argument cannot be used.
    """
    settings = params.load().nightly
    place = _place()
    name = name or place.name
    if not _NAME.fullmatch(name):
        raise UserError(f"--name {name!r}, wanted letters, digits, dots, dashes and underscores.")
    if memory_max is not None and not _MEMORY.fullmatch(memory_max):
        raise UserError(f"--memory-max {memory_max!r}, wanted bytes such as 24G, or a share of the memory such as 80%.")
    table = timetables.parse(settings.schedule)
    places = dvc_places.read(Path(place.folder))
    values: dict[str, Any] = {
        "folder": place.folder,
        "manual": f"{place.folder}/docs/night.md",
        "search_path": place.search_path,
        "account": None if user else _account(account),
        "user_manager": user,
        "writable": _writable(place.folder, places, remote=settings.remote),
        "private_tmp": not _in_temporary_folder(place.folder, places, remote=settings.remote),
        "shared_cache": places.shared,
        "memory_max": memory_max,
        "expression": table.expression,
        "calendar": timetables.calendar(table),
    }
    texts = {
        f"{name}.service": _render("nightly.service.j2", values),
        f"{name}.timer": _render("nightly.timer.j2", values),
    }
    return Made(files=texts, install=_installing(name, user=user))


def _installing(name: str, *, user: bool) -> str:
    if user:
        return (
            "To install, after --write ~/.config/systemd/user:\n"
            f"  systemctl --user daemon-reload && systemctl --user enable --now {name}.timer\n"
            "  loginctl enable-linger   # nights begin whether you are logged in or not"
        )
    return (
        "To install, after --write DIR:\n"
        f"  sudo install -m 644 -t /etc/systemd/system DIR/{name}.*\n"
        f"  sudo systemctl daemon-reload && sudo systemctl enable --now {name}.timer"
    )


def cron() -> Made:
    """One line for a crontab. cron runs no night that was missed, and knows nothing of this project's exit codes.

    Raises:
        UserError: the schedule or the folder cannot be used, or the line is too long for cron.
    """
    place = _place()
    expression = timetables.plain(timetables.parse(params.load().nightly.schedule))
    word = quoting.crontab_word
    command = (
        f"cd {word(place.folder)} && mkdir -p {paths.STATE} && "
        "{ set -a; [ ! -f .env ] || . ./.env; set +a; "
        f"PATH={word(place.search_path)} {word(place.command)} nightly; }} >>{_LOG} 2>&1"
    )
    if len(command.encode()) > _LONGEST:
        raise UserError(
            f"the crontab line has {len(command.encode())} bytes, and cron takes {_LONGEST}: {place.folder} is too "
            "long a path. Move the project, or use `tailwatch schedule systemd`."
        )
    install = (
        "To install, once:\n  (crontab -l 2>/dev/null; uv run tailwatch schedule cron) | crontab -\n"
        f"Each night adds some lines to {_LOG}. A night that is missed, since the machine is off, does not run later."
    )
    return Made(files={"crontab": f"{expression} {command}\n"}, install=install)


def github(*, labels: Sequence[str] = ("self-hosted", "linux"), zone: str | None = None) -> Made:
    """A workflow for a self-hosted runner: a night, its verdicts beside the commit, its commit pushed.

    Args:
        labels: of the runner.
        zone: time zone of the schedule, such as ``Europe/Berlin``; by default this machine's.

    Raises:
        UserError: the schedule, a label or the zone cannot be used, or nights are not committed.
    """
    settings = params.load().nightly
    expression = timetables.plain(timetables.parse(settings.schedule))
    if not settings.commit:
        raise UserError(
            "nightly.commit in params.yaml is off, wanted on: a job begins with what the repository holds, so that "
            "without a commit every night would append the same generation again. Set it to true."
        )
    wrong = [label for label in labels if not _LABEL.fullmatch(label)]
    if wrong or not labels:
        raise UserError(f"--label {wrong}, wanted labels of a runner: letters, digits, dots, dashes and underscores.")
    zone = _zone(zone)
    places = dvc_places.read(Path())
    values: dict[str, Any] = {
        "expression": expression,
        "zone": None if zone in ("UTC", "Etc/UTC") else zone,
        "labels": list(labels),
        "prefix": _prefix(),
        "remote": _remote(places, settings.remote),
        "secrets": _variables(settings),
    }
    folder = ".github/workflows"
    install = f"To install: commit it as {folder}/tailwatch-nightly.yml on the default branch."
    if values["remote"] is None:
        install += (
            "\nThere is no DVC remote: only this one runner has the files of the runs, and a new one trains all "
            "of them again. `uv run dvc remote add --default NAME URL` names one."
        )
    return Made(files={"tailwatch-nightly.yml": _render("nightly.yml.j2", values)}, install=install)


def _place() -> _Place:
    """The project in the working directory, and the commands beside the Python that runs this."""
    folder = quoting.printable(str(Path.cwd()), what="the project's folder")
    beside = Path(sys.executable).parent
    command = beside / "tailwatch"
    if not command.is_file():
        raise UserError(f"no {command}, wanted the command of an installed project. Type: make install")
    tools = (shutil.which(name) for name in ("uv", "git"))
    folders = dict.fromkeys([str(beside), *(str(Path(tool).parent) for tool in tools if tool), *_SYSTEM_FOLDERS])
    for one in folders:
        quoting.printable(one, what="the folder of commands")
        if ":" in one:
            raise UserError(f"{one} has a colon, which PATH cannot hold. Rename the folder, then type: make install")
    return _Place(folder=folder, command=str(command), search_path=":".join(folders))


def _account(name: str | None) -> str:
    """The account that nights run as: one of this machine."""
    try:
        return pwd.getpwnam(name).pw_name if name is not None else pwd.getpwuid(Path().stat().st_uid).pw_name
    except KeyError:
        who = f"--account {name!r}" if name is not None else f"the owner of {Path.cwd()}, number {Path().stat().st_uid}"
        raise UserError(f"{who} is no account of this machine. Name one with --account.") from None


def _elsewhere(folder: str, places: dvc_places.Places, *, remote: str | None) -> list[Path]:
    """Folders outside the project's that a night writes to: DVC's cache and remote, and a worktree's repository."""
    name = _remote(places, remote)
    found = [places.cache, places.folder_of(name) if name else None, _git("--git-common-dir")]
    return [one for one in found if one is not None and not one.is_relative_to(folder)]


def _remote(places: dvc_places.Places, named: str | None) -> str | None:
    """The remote that nights push to; None where there is none."""
    name = named or places.default
    if name is not None and name not in places.remotes:
        raise UserError(f"nightly.remote in params.yaml: no DVC remote {name!r}; `uv run dvc remote list` lists them.")
    return name


def _writable(folder: str, places: dvc_places.Places, *, remote: str | None) -> list[str]:
    return [quoting.printable(str(one), what="the folder") for one in _elsewhere(folder, places, remote=remote)]


def _in_temporary_folder(folder: str, places: dvc_places.Places, *, remote: str | None) -> bool:
    """Whether a private /tmp would hide the project, or what it writes to."""
    used = [Path(folder), *_elsewhere(folder, places, remote=remote)]
    return any(one.is_relative_to(temporary) for one in used for temporary in _TEMPORARY)


def _git(question: str) -> Path | None:
    """A path that git answers; None where there is no git, or no repository."""
    executable = shutil.which("git")
    if executable is None:
        return None
    asked = subprocess.run([executable, "rev-parse", question], capture_output=True, check=False)  # noqa: S603
    return Path(os.fsdecode(asked.stdout.rstrip(b"\n"))).absolute() if asked.returncode == 0 else None


def _prefix() -> str:
    """The project's folder within its git repository, with a slash at the end; nothing where they are the same."""
    top = _git("--show-toplevel")
    inside = "" if top is None or top == Path.cwd() else f"{Path.cwd().relative_to(top)}/"
    if inside and not re.fullmatch(r"[\w./-]+", inside, re.ASCII):
        raise UserError(f"the project is in {inside!r} of its repository, wanted a folder with a plain name there.")
    return inside


def _zone(name: str | None) -> str:
    """A time zone by its name; by default that of this machine, UTC where it has none."""
    from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

    if name is None:
        target = os.environ.get("TZ", "").lstrip(":") or str(Path("/etc/localtime").resolve())
        name = target.rpartition("zoneinfo/")[2]
        if not _ZONE.fullmatch(name) or name == "localtime":
            return "UTC"
    try:
        return ZoneInfo(name).key
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise UserError(f"no time zone {name!r}, wanted a name such as Europe/Berlin, or UTC.") from None


def _variables(settings: Nightly) -> list[str]:
    """Names of the environment's variables that hold addresses of notifications."""
    addresses = [*settings.notify, *([settings.ping] if settings.ping else [])]
    return sorted({found[1] for one in addresses if (found := _VARIABLE.fullmatch(one))})


def _render(template: str, values: dict[str, Any]) -> str:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(  # noqa: S701 - units and workflows, each text quoted by a filter below
        loader=FileSystemLoader(_TEMPLATES),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters.update(
        text=quoting.unit_text,
        path=quoting.unit_path,
        word=quoting.unit_word,
        uri=quoting.unit_uri,
        quote=shlex.quote,
        optional=lambda path: f"-{path}",
    )
    return environment.get_template(template).render(values)
