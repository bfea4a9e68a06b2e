"""Whole runs of small projects of their own, from ingest to verdict."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.project import BCCD, accept, create, small

pytestmark = pytest.mark.slow

SAME = ("data/*/manifest.csv", "data/[acgm]*/*/*.csv", "data/audit/*/audit.json", "data/gate/*.json")


def test_two_projects_from_scratch_are_identical(tmp_path: Path) -> None:
    """The same settings and the same ledger give the same manifests, predictions and verdicts, file by file."""
    first, second = (
        create(tmp_path / name, small, lambda params: params["runs"].pop("guarded-1")) for name in ("first", "second")
    )
    accept(first)
    shutil.copy(first.folder / "data/ledger.csv", second.folder / "data")
    shutil.copytree(first.folder / "data/imports", second.folder / "data/imports", dirs_exist_ok=True)
    digests = []
    for made in (first, second):
        done = made.run("dvc", "repro", "gate@recursive-1")
        assert done.code == 0, done.output
        digests.append(made.digest(*SAME))
    assert len(digests[0]) > 10
    assert digests[0] == digests[1]


@pytest.mark.skipif(not BCCD.is_dir(), reason="the BCCD dataset is not beside the project")
def test_bccd_runs_from_its_voc_folder(tmp_path: Path) -> None:
    """Real photographs in VOC form go through the whole loop, with copy-paste and the layout's labels."""

    def photographs(params: dict[str, Any]) -> None:
        small(params)
        params["ingest"].update(source="voc", path=str(BCCD), max_rejected=0.01)
        params["generate"].update(generator="copy_paste", labels="layout", images=200)
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
