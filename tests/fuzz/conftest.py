"""Fixtures of all fuzz tests."""

from __future__ import annotations

import functools
from pathlib import Path

import pytest

from pipeline.core import params

_PARSE = functools.cache(params.parse)  # the default params.yaml, pointed at a source of each layout


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder as the working directory; a params.yaml that was read before is not read again."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("pipeline.core.params.parse", _PARSE)
    return tmp_path
