"""A whole run of a small project of photographs, from ingest to verdict."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.project import BCCD, accept, create, small

pytestmark = pytest.mark.slow


@pytest.mark.skipif(not BCCD.is_dir(), reason="the BCCD dataset is not beside the project")
def test_bccd_runs_from_its_voc_folder(tmp_path: Path) -> None:
    """Real photographs in VOC form go through the whole loop, with copy-paste and the layout's labels."""

    def photographs(params: dict[str, Any]) -> None:
        small(params)
        params["ingest"].update(source="voc", path=str(BCCD), max_rejected=0.01)
        params["generate"].update(generator="copy_paste", labels="layout", images=100)
        params["train"].update(image_size=160, steps=12)
        params["runs"].pop("recursive-1")
        params["arms"]["guarded"]["ratio"] = 0.3

    made = create(tmp_path / "bccd", photographs)
    accept(made)
    done = made.run("dvc", "repro")
    assert done.code == 0, done.output
    decisions = (made.folder / "data/real/decisions.csv").read_text()
    assert decisions.count("zero or negative area") == 2
    audit = json.loads((made.folder / "data/audit/guarded-1/audit.json").read_text())
    assert [one["name"] for one in audit["classes"]] == ["Platelets", "RBC", "WBC"]
    assert audit["synthetic_images"] / (audit["synthetic_images"] + audit["real_images"]) == pytest.approx(
        0.3, abs=0.002
    )
