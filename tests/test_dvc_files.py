"""dvc.lock and .dvc files: what is taken out of them is gone, and all else stays to the byte."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from pipeline.adapters import dvc_files
from pipeline.core.errors import UserError
from pipeline.core.history import Out

LOCK = """\
# written by DVC
schema: '2.0'
stages:
  train@wild-1:
    cmd: python -m pipeline.train --run wild-1
    deps:
    - path: data/mix/wild-1/manifest.parquet
      hash: md5
      md5: 0123456789abcdef0123456789abcdef
      size: 5
    params:
      params.yaml:
        train:
          note: |
            stages:
              train@wild-2:
    outs:
    - path: data/train/wild-1
      hash: md5
      md5: 00000000000000000000000000000001.dir
      size: 20
      nfiles: 3
  'train@1':
    cmd: python -m pipeline.train --run 1
    outs:
    - path: data/test.lock
      hash: md5
      md5: '00000000000000000000000000000002'
      size: 7
  train@wild-2:
    cmd: python -m pipeline.train --run wild-2
"""


def test_outputs_by_stage(tmp_path: Path) -> None:
    """Each stage has its outputs, with their versions; no lock is no stage."""
    path = tmp_path / "dvc.lock"
    assert dvc_files.stage_outs(path) == {}
    path.write_text(LOCK)
    assert dvc_files.stage_outs(path) == {
        "train@wild-1": (Out(path="data/train/wild-1", md5="00000000000000000000000000000001.dir", size=20, nfiles=3),),
        "train@1": (Out(path="data/test.lock", md5="00000000000000000000000000000002", size=7),),
        "train@wild-2": (),
    }


@pytest.mark.parametrize(
    "gone",
    [{"train@wild-1"}, {"train@1"}, {"train@wild-2"}, {"train@wild-1", "train@wild-2"}],
    ids=["first", "quoted", "last", "two"],
)
def test_stages_leave_the_lock(gone: set[str]) -> None:
    """The others stay as they are written; what is no key is not taken for one."""
    after = dvc_files.without(LOCK, gone.__contains__)
    stages = {name: one for name, one in yaml.safe_load(LOCK)["stages"].items() if name not in gone}
    assert yaml.safe_load(after) == {"schema": "2.0", "stages": stages}
    before = iter(LOCK.splitlines(keepends=True))
    assert all(line in before for line in after.splitlines(keepends=True))  # in their order, none made up


def test_nothing_or_everything_leaves(tmp_path: Path) -> None:
    """Where no stage goes the file is not touched; where all go, it is still a lock."""
    path = tmp_path / "dvc.lock"
    path.write_text(LOCK)
    stamp = path.stat().st_mtime_ns
    assert not dvc_files.drop_stages(lambda _: False, path)
    assert (path.read_text(), path.stat().st_mtime_ns) == (LOCK, stamp)
    assert dvc_files.drop_stages(lambda _: True, path)
    assert yaml.safe_load(path.read_text()) == {"schema": "2.0", "stages": {}}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        pytest.param("stages: [", "dvc.lock cannot be read", id="no YAML"),
        pytest.param("<<<<<<< HEAD\nstages: {}\n", "dvc.lock", id="a conflict"),
        pytest.param("- a\n", "holds no keys", id="a list"),
        pytest.param("stages: 7\n", "holds no stages", id="no stages"),
        pytest.param("stages: {a: {outs: [{md5: x}]}}\n", "an output of a is damaged", id="no path"),
        pytest.param("stages: {a: {cmd: x}, b: {cmd: y}}\n", "not laid out as DVC writes it", id="on one line"),
    ],
)
def test_damaged(tmp_path: Path, content: str, message: str) -> None:
    """A lock that cannot be read or edited is named, and left as it is."""
    path = tmp_path / "dvc.lock"
    path.write_text(content)

    def both() -> None:
        dvc_files.stage_outs(path)
        dvc_files.drop_stages(lambda name: name == "a", path)

    with pytest.raises(UserError, match=message):
        both()
    assert path.read_text() == content


def test_outputs_in_a_file_of_their_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """DVC reads what is written, unchanged content is not written, and without outputs there is no file."""
    monkeypatch.chdir(tmp_path)
    path = Path("data/anchors.dvc")
    outs = (
        Out(path="data/mix/wild-1", md5="00000000000000000000000000000001.dir", size=20, nfiles=3),
        Out(path="data/x.json", md5="00000000000000000000000000000002", size=7),
        Out(path="data/y.json", md5="12345678901234567890e12345678901", size=7),
    )
    assert dvc_files.write_outs(path, outs, said="said")
    from dvc.utils.serialize import load_yaml

    assert load_yaml(path)["outs"] == [
        {"md5": outs[0].md5, "size": 20, "nfiles": 3, "hash": "md5", "path": "mix/wild-1"},
        {"md5": outs[1].md5, "size": 7, "hash": "md5", "path": "x.json"},
        {"md5": outs[2].md5, "size": 7, "hash": "md5", "path": "y.json"},
    ]
    assert path.read_text().startswith("# said\n")
    assert not dvc_files.write_outs(path, outs, said="said")
    assert dvc_files.write_outs(path, (), said="said")
    assert not path.exists()
    assert not dvc_files.write_outs(path, (), said="said")
