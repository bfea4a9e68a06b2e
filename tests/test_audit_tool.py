"""The audit of dependencies fails for what can be mended, and says so where it was not possible."""

from __future__ import annotations

import importlib.util
from typing import Any

import pytest

from tests.imports import ROOT

KNOWN = [{"name": "jinja2", "version": "2.4.1", "vulns": [{"id": "X-1", "fix_versions": ["2.8"]}]}]
SOUND = {"name": "click", "version": "8.1", "vulns": []}
MENDABLE = {"name": "a", "version": "1.0", "vulns": [{"id": "X-2", "fix_versions": ["1.1", "2.0"]}]}
OPEN = {"name": "b", "version": "1.0", "vulns": [{"id": "X-3", "fix_versions": []}]}
UNKNOWN = {"name": "c", "version": "1.0", "skip_reason": "not found"}


@pytest.fixture(scope="module")
def audit() -> Any:
    """The tool, as a module."""
    described = importlib.util.spec_from_file_location("audit", ROOT / "tools" / "audit.py")
    assert described is not None
    assert described.loader is not None
    module = importlib.util.module_from_spec(described)
    described.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("canary", "found", "code", "words"),
    [
        pytest.param([], [], 3, "not possible", id="no answer"),
        pytest.param([SOUND], [SOUND], 3, "not possible", id="an answer that knows nothing"),
        pytest.param([UNKNOWN], [UNKNOWN], 3, "not possible", id="a mirror without advisories"),
        pytest.param(KNOWN, [], 3, "not possible", id="an answer that is cut off"),
        pytest.param(KNOWN, [SOUND], 0, "1 packages, 0 advisories", id="sound"),
        pytest.param(KNOWN, [SOUND, MENDABLE], 1, "a 1.0: X-2, mended in 1.1, 2.0", id="mendable"),
        pytest.param(KNOWN, [OPEN], 0, "b 1.0: X-3, no mended version yet", id="nothing to update to"),
        pytest.param(KNOWN, [SOUND, UNKNOWN], 0, "not looked up: c", id="one is unknown"),
    ],
)
def test_judged(audit: Any, canary: list[Any], found: list[Any], code: int, words: str) -> None:
    """What cannot know anything is never taken for an answer that all is well."""
    assert audit.judged(canary, found)[0] == code
    assert words in audit.judged(canary, found)[1]
