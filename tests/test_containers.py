"""The container file and the compose file; no container engine is needed."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parent.parent
CONTAINERFILE = (ROOT / "Containerfile").read_text()
HADOLINT = shutil.which("hadolint")


def compose() -> dict[str, Any]:
    """The compose file."""
    found: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text())
    return found


def test_compose_is_valid() -> None:
    """The schema of Compose files takes it."""
    command = shutil.which("check-jsonschema")
    assert command
    asked = subprocess.run(
        [command, "--builtin-schema", "vendor.compose-spec", str(ROOT / "compose.yaml")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert asked.returncode == 0, asked.stdout


@pytest.mark.skipif(HADOLINT is None, reason="hadolint is not installed here")
def test_the_container_file_is_clean() -> None:
    """The linter of container files finds nothing."""
    assert HADOLINT
    asked = subprocess.run([HADOLINT, str(ROOT / "Containerfile")], capture_output=True, text=True, check=False)
    assert (asked.returncode, asked.stdout) == (0, "")


def test_only_the_night_reaches_the_database() -> None:
    """MongoDB publishes no port, is on a network without a way out, and the night waits until it answers."""
    services = compose()["services"]
    night, mongo = services["night"], services["mongo"]
    assert "ports" not in mongo
    assert mongo["networks"] == ["database"]
    assert compose()["networks"]["database"] == {"internal": True}
    assert night["depends_on"] == {"mongo": {"condition": "service_healthy"}}
    assert night["environment"]["FIFTYONE_DATABASE_URI"] == "mongodb://mongo:27017"
    assert mongo["healthcheck"]["test"][0] == "CMD"


def test_what_is_copied_is_sent() -> None:
    """All that the image is made of gets past .dockerignore, and nothing else: no data, no secret."""
    copied = re.findall(r"^COPY (?!--from)(.+) \S+$", CONTAINERFILE, flags=re.MULTILINE)
    names = {name.rstrip("/") for line in copied for name in line.split()}
    assert all((ROOT / name).exists() for name in names)
    ignored = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and line[0] != "#"]
    assert ignored[0] == "*"
    assert {line[1:] for line in ignored if line.startswith("!")} == names


def test_the_image_runs_a_night_as_nobody_special() -> None:
    """Not as root, and with the commands of the environment that uv made where the last stage has it."""
    last = CONTAINERFILE.rpartition("\nFROM ")[2]
    assert re.search(r"^USER 1000$", last, flags=re.MULTILINE)
    assert 'CMD ["tailwatch", "nightly"]' in last
    [environment] = re.findall(r"UV_PROJECT_ENVIRONMENT=(\S+)", CONTAINERFILE)
    assert f"COPY --from=build {environment} {environment}" in last
    assert f"PATH={environment}/bin:" in last


def test_the_image_follows_the_lock() -> None:
    """Packages are those of uv.lock, by the uv that pyproject.toml asks for."""
    assert "uv sync --locked" in CONTAINERFILE
    [expression] = re.findall(r"wanted=\$\(sed -n '(.+)' pyproject\.toml\)", CONTAINERFILE)
    found = subprocess.run(
        ["sed", "-n", expression, str(ROOT / "pyproject.toml")], capture_output=True, text=True, check=True
    )
    assert re.fullmatch(r">=\d+\.\d+\.\d+\n", found.stdout)
