"""The README and the docs say what is there, and all that is there."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import click
import pytest
import yaml

from pipeline.cli import main
from tests.project import ROOT, Project

README = (ROOT / "README.md").read_text()
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md"), ROOT / "data/source/README.md"])
PROSE = re.compile(r"```.*?```", re.DOTALL)
WRITTEN = (
    "data/",
    "reports/",
    ".fiftyone",
    ".tailwatch/",
    "exports/",
    "models/current",
    "image_id/",
    "dvc.lock",
    ".dvc/config.local",
)  # made by the pipeline, not in git


def commands(text: str) -> list[str]:
    """Commands in fenced blocks and in code spans."""
    blocks = re.findall(r"```sh\n(.*?)```", text, re.DOTALL)
    lines = [line.split("#")[0].strip() for block in blocks for line in block.splitlines()]
    spans = re.findall(r"`((?:uv run|make) [^`]+)`", PROSE.sub("", text))
    return sorted({line for line in [*lines, *spans] if line})


def documented() -> list[str]:
    """The commands of all pages."""
    return sorted({command for page in PAGES for command in commands(page.read_text())})


@pytest.mark.parametrize("command", documented())
def test_every_command_exists(command: str) -> None:
    """Each documented command is one: make has the target, tailwatch and dvc know the command and its options."""
    words = shlex.split(command.replace("NAME", "name").replace("TEXT", "text"))
    if words[0] == "make":
        subprocess.run(["make", "--dry-run", *words[1:]], cwd=ROOT, check=True, capture_output=True)
        return
    assert words[:2] == ["uv", "run"], command
    if words[2] == "--env-file":
        del words[2:4]
    if words[2] == "tailwatch":
        found: click.Command = main
        for word in words[3:]:
            if not isinstance(found, click.Group):
                break
            found = found.commands[word]
        known = {option for parameter in found.params for option in parameter.opts}
        assert {word for word in words[4:] if word.startswith("--")} <= known, command
    elif words[2] == "dvc":
        if words[3] == "--cd":
            assert (ROOT / words[4] / ".dvc").is_dir(), command
            del words[3:5]
        names = [word for word in words[3:] if not word.startswith("-")]
        asked = ["dvc", *names[: 2 if names[0] in {"metrics", "plots"} else 1], "--help"]
        subprocess.run(asked, cwd=ROOT, check=True, capture_output=True, env=Project.environment())
    elif words[2] == "python":
        where = ROOT.joinpath(*words[4].split(".")) if words[3] == "-m" else ROOT / words[3]
        assert where.with_suffix(".py").is_file() or (where / "__main__.py").is_file(), command
    elif words[2].startswith("tools/"):
        assert (ROOT / words[2]).is_file(), command
    else:
        assert words[2] in {"pytest", "--with"}, command


@pytest.mark.parametrize("name", sorted(main.commands))
def test_every_command_is_documented(name: str) -> None:
    """No command of tailwatch is missing from the pages."""
    assert any(f"tailwatch {name}" in page.read_text() for page in PAGES)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_path_is_there(page: Path) -> None:
    """Links lead to files, and paths in code spans exist unless the pipeline makes them."""
    text = page.read_text()
    for link in re.findall(r"\]\(([^)#]+)\)", text):
        if "://" not in link:
            assert (page.parent / link).exists(), link
    for span in re.findall(r"`([\w./-]+/[\w./-]*)`", PROSE.sub("", text)):
        if not span.startswith(WRITTEN):
            assert (ROOT / span).exists(), span


def test_every_stage_is_in_the_table() -> None:
    """Each stage of dvc.yaml has its line in the README's table, and the table has no other."""
    stages = {name.removesuffix("-base") for name in yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]}
    assert set(re.findall(r"^\| `(\w+)` \|", README, flags=re.MULTILINE)) == stages


def test_help_is_quick_and_imports_nothing_heavy() -> None:
    """`tailwatch --help` imports no heavy package."""
    heavy = "{'numpy', 'pandas', 'torch', 'fiftyone', 'dvc'}"
    code = f"import sys; import pipeline.cli; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, text=True, capture_output=True, check=True)
    assert done.stdout.strip() == "[]"


def test_figures_come_from_the_committed_summary() -> None:
    """The table of the default run's figures in the README is the one that the report stage wrote."""
    summary = (ROOT / "docs/default-run.md").read_text()
    table = re.findall(r"^\|.*\|$", summary, flags=re.MULTILINE)
    assert table
    for line in table:
        assert line in README, line
