"""Audits are read as they were written; what is absent stays absent."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.core import audits
from pipeline.core.audits import Audit, ClassFigures, DuplicateFigures, Figure
from pipeline.core.errors import UserError
from tests.builders import audit, class_figures

SHARES = st.none() | st.floats(0, 1)
COUNTS = st.integers(0, 10**6)
FIGURES = st.builds(Figure, value=SHARES, low=SHARES, high=SHARES, reason=st.text(max_size=5))
AUDITS = st.builds(
    Audit,
    run=st.text(max_size=5),
    arm=st.text(max_size=5),
    generation=COUNTS,
    test_images=COUNTS,
    confidence=st.floats(0, 1),
    iou=st.floats(0, 1),
    map50_95=FIGURES,
    map50=FIGURES,
    classes=st.lists(
        st.builds(
            ClassFigures,
            name=st.text(max_size=5),
            rare=st.booleans(),
            support=COUNTS,
            found=COUNTS,
            recall=FIGURES,
            precision=SHARES,
            ap50_95=SHARES,
            ap50=SHARES,
            training_boxes=COUNTS,
        ),
        max_size=2,
    ).map(tuple),
    real_images=COUNTS,
    synthetic_images=COUNTS,
    lineage=st.dictionaries(st.integers(0, 9).map(str), COUNTS, max_size=2),
    duplicates=st.none()
    | st.builds(DuplicateFigures, images=COUNTS, exact=COUNTS, near=COUNTS, near_real=COUNTS, threshold=COUNTS),
    inputs=st.dictionaries(st.text(max_size=5), st.text(max_size=5), max_size=2),
)


@given(AUDITS)
def test_round_trip(one: Audit) -> None:
    """An audit is read as it was written, to the last bit."""
    with pytest.MonkeyPatch.context() as patch:
        kept: dict[str, str] = {}
        patch.setattr("pipeline.core.files.write_text", lambda path, text: kept.update({str(path): text}))
        patch.setattr(Path, "read_text", lambda path: kept[str(path)])
        audits.write(Path("audit.json"), one)
        assert audits.read(Path("audit.json")) == one


def test_absent_stays_absent(tmp_path: Path) -> None:
    """A class without test boxes has no recall: null in the file, None in the code, never 0 or NaN."""
    path = tmp_path / "audit.json"
    nothing = Figure(value=None, reason="no test box")
    audits.write(path, audit(classes=(class_figures(support=0, found=0, recall=nothing, ap50=None, ap50_95=None),)))
    assert json.loads(path.read_text())["classes"][0]["recall"] == {
        "value": None, "low": None, "high": None, "reason": "no test box",
    }  # fmt: skip
    (found,) = audits.read(path).classes
    assert found.recall == nothing
    assert found.ap50 is None


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
    "change",
    [
        pytest.param({"extra": 1}, id="key too many"),
        pytest.param({"map50": None}, id="no figure"),
        pytest.param({"map50": {"value": 1, "median": 1}}, id="figure of another form"),
        pytest.param({"classes": [{"name": "one"}]}, id="class of another form"),
        pytest.param({"duplicates": {"images": 1}}, id="duplicates of another form"),
    ],
)
def test_other_version(change: dict[str, Any], tmp_path: Path) -> None:
    """An audit of another form is refused, with the command that makes it anew."""
    path = tmp_path / "audit.json"
    audits.write(path, audit())
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(UserError, match=r"audit\.json is not an audit of this version .*dvc repro -f"):
        audits.read(path)


@pytest.mark.parametrize("content", ["", "{", "[]", "3", '"x"', "{}"], ids=str)
def test_no_audit(content: str, tmp_path: Path) -> None:
    """A file that is no audit at all is refused too."""
    path = tmp_path / "audit.json"
    path.write_text(content)
    with pytest.raises(UserError, match=r"is not an audit of this version"):
        audits.read(path)


def test_missing(tmp_path: Path) -> None:
    """A missing audit says which command makes it."""
    with pytest.raises(UserError, match=r"audit\.json is missing\. Run `uv run dvc repro`"):
        audits.read(tmp_path / "audit.json")
