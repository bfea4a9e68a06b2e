"""The stage `code`: which code each stage runs."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from pipeline import code
from pipeline.core import files, paths
from pipeline.core.errors import UserError
from tests.imports import ROOT, closure

LISTED = ("audit", "generate", "mix", "report", "train")


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the project's package in a folder of its own, of which the code is written down."""
    shutil.copytree(ROOT / "pipeline", tmp_path / "pipeline", ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.chdir(tmp_path)
    code.main()
    return tmp_path / "pipeline"


def written() -> dict[str, bytes]:
    """What is written down, by stage."""
    return {path.stem: path.read_bytes() for path in paths.CODE.iterdir()}


def changed(before: dict[str, bytes]) -> set[str]:
    """The stages of which something else is written down now."""
    code.main()
    return {name for name, text in written().items() if text != before.get(name)}


def test_what_is_written(package: Path) -> None:
    """Each stage has the digests of the files that it runs, in their order, and of no other."""
    assert set(LISTED) < set(written())
    assert "code" not in written()
    for name in LISTED:
        found = json.loads(paths.code_of(name).read_text())
        assert list(found) == sorted(str(path) for path in closure(f"pipeline.{name}"))
        assert found[f"pipeline/{name}.py"] == files.sha256_file(package / f"{name}.py")


def test_only_who_runs_it(package: Path) -> None:
    """Code that changes changes the stages that run it, and leaves the others alone; bytecode changes none."""
    before = written()
    with (package / "adapters" / "yolo_trainer.py").open("a") as file:
        file.write("# other\n")
    touched = changed(before)
    assert "train" in touched
    assert not touched & {"gate", "ingest", "mix", "report", "verify"}
    before = written()
    files.write_bytes(package / "__pycache__" / "train.pyc", b"comes with an import")
    assert changed(before) == set()


def test_an_import_more(package: Path) -> None:
    """A module that begins to import another one runs that too, also where it does so inside a function."""
    files.write_text(package / "core" / "fresh.py", "VALUE = 1\n")
    with (package / "core" / "mixing.py").open("a") as file:
        file.write("\n\ndef late():\n    from pipeline.core import fresh\n")
    code.main()
    assert "pipeline/core/fresh.py" in json.loads(paths.code_of("mix").read_text())
    assert "pipeline/core/fresh.py" not in json.loads(paths.code_of("report").read_text())


def test_no_python(package: Path) -> None:
    """A file that is not Python is named with its line, and what was written down stays."""
    before = written()
    (package / "core" / "mixing.py").write_text("VALUE = 1\ndef half(:\n")
    with pytest.raises(UserError, match=r"pipeline/core/mixing\.py, line 2: .*Mend it"):
        code.main()
    assert written() == before
