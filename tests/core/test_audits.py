"""Audits and verdicts are read as they were written; what is absent stays absent."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.core import audits, judgements, night_journal, nights, records
from pipeline.core.audits import Audit
from pipeline.core.errors import UserError
from pipeline.core.figures import Figure
from tests.builders import audit, class_figures, detection_figures, figure
from tests.imports import ROOT

SHARES = st.none() | st.floats(0, 1).map(lambda share: round(share, 10))
FIGURES = st.builds(
    Figure, value=SHARES, low=SHARES, high=SHARES, samples=st.none() | st.integers(0, 10**6), reason=st.text(max_size=5)
)
SCHEMAS = {
    "audit": Audit,
    "verdict": judgements.Judgement,
    "confirm": nights.Confirmation,
    "night": night_journal.Night,
}


@given(st.text(max_size=5), FIGURES, st.dictionaries(st.text(max_size=3), st.integers(0, 10**6), max_size=2))
def test_round_trip(run: str, one: Figure, lineage: dict[str, int]) -> None:
    """An audit is read as it was written, to ten decimals."""
    written = audit("guarded-1", arm=run, map50=one, classes=(class_figures(recall=one),), lineage=lineage)
    with pytest.MonkeyPatch.context() as patch:
        kept: dict[str, str] = {}
        patch.setattr("pipeline.core.files.write_text", lambda path, text: kept.update({str(path): text}))
        patch.setattr(Path, "read_bytes", lambda path: kept[str(path)].encode())
        audits.write(Path("audit.json"), written)
        assert audits.read(Path("audit.json")) == written


def test_absent_stays_absent(tmp_path: Path) -> None:
    """A class without test boxes has no recall: null in the file, None in the code, never 0 or NaN."""
    path = tmp_path / "audit.json"
    classes = (class_figures(support=0, found=0, recall=figure(None)),)
    audits.write(path, audit(classes=classes))
    assert json.loads(path.read_text())["classes"][0]["recall"] == {
        "value": None, "low": None, "high": None, "samples": None, "reason": "no test box",
    }  # fmt: skip
    assert audits.read(path).classes == classes


def test_nan_is_refused(tmp_path: Path) -> None:
    """NaN is not written in silence."""
    with pytest.raises(ValueError, match="not JSON compliant"):
        audits.write(tmp_path / "audit.json", audit(confidence=math.nan))
    assert not list(tmp_path.iterdir())


def test_rare() -> None:
    """The rare classes are those that are marked, in class order."""
    classes = (class_figures("a", rare=True), class_figures("b"), class_figures("c", rare=True))
    assert [one.name for one in audit(classes=classes).rare] == ["a", "c"]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        pytest.param({"version": 1}, "version 1, wanted 2", id="older version"),
        pytest.param({"map50": None}, r"Expected `object`, got `null` - at `\$.map50`", id="no figure"),
        pytest.param({"map50": {"median": 1}}, "missing required field `value`", id="figure of another form"),
        pytest.param({"classes": [{"name": "one"}]}, "missing required field `rare`", id="class of another form"),
        pytest.param({"test_images": "many"}, "Expected `int`, got `str`", id="text for a number"),
    ],
)
def test_other_form(change: dict[str, Any], reason: str, tmp_path: Path) -> None:
    """An audit of another form is refused: what is wrong, where, and the command that makes it anew."""
    path = tmp_path / "audit.json"
    audits.write(path, audit())
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(UserError, match=rf"audit\.json cannot be read: .*{reason}.*dvc repro -f"):
        audits.read(path)


@pytest.mark.parametrize("content", ["", "{", "[]", "3", '"x"', "{}", "\xff"], ids=repr)
def test_no_record(content: str, tmp_path: Path) -> None:
    """A file that is no record at all is refused too."""
    path = tmp_path / "audit.json"
    path.write_bytes(content.encode("latin-1"))
    with pytest.raises(UserError, match=r"audit\.json cannot be read"):
        audits.read(path)


def test_missing(tmp_path: Path) -> None:
    """A missing audit says which command makes it."""
    with pytest.raises(UserError, match=r"audit\.json is missing\. Run `uv run dvc repro`"):
        audits.read(tmp_path / "audit.json")


@pytest.mark.parametrize("name", SCHEMAS)
def test_published_schema(name: str) -> None:
    """The schema that is published is that of the records."""
    published = json.loads((ROOT / "docs" / "schema" / f"{name}.json").read_text())
    assert published == json.loads(json.dumps(records.schema(SCHEMAS[name])))  # tuples become lists


def test_schema_fits() -> None:
    """What is written has the fields that the schema requires, at the top and in a nested record."""
    written = msgspec.to_builtins(audit(detection=detection_figures(("one", "two"))))
    definitions = records.schema(Audit)["$defs"]
    nested = {"Audit": written, "Figure": written["map50"], "Confusion": written["detection"]["confusion"]}
    for name, part in nested.items():
        assert set(definitions[name]["required"]) <= set(part) <= set(definitions[name]["properties"])
