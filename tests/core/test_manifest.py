"""The manifest: a row that cannot be is refused, and what is written is read again, whatever the names hold."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.core import manifest, parquet
from pipeline.core.errors import UserError
from pipeline.core.manifest import Row
from tests import builders
from tests.builders import row, sha, synthetic_row
from tests.fuzz import records

HOSTILE = [
    "a,b",
    'the "best" one',
    "two\nlines",
    "two\r\nlines",
    "old\rMac",
    "nan",
    "NA",
    "None",
    "",
    " padded ",
    "007",
    "1e5",
    "True",
    "=cmd()",
    "naïve ☃ 数字 \U0001f9ff",
    "line\u2028separator",
    "\x00 and \x1a",
    "'",
    "#",
    "\\n",
    "\ufeff",
]


def written(folder: Path, rows: list[Row]) -> list[Row]:
    """The rows, written and read again."""
    path = folder / "manifest.parquet"
    manifest.write(path, rows)
    return manifest.read(path)


@pytest.mark.parametrize("name", HOSTILE, ids=[ascii(name) for name in HOSTILE])
def test_hostile_names(name: str, tmp_path: Path) -> None:
    """Names with commas, quotes, line ends, or that look like numbers or nothing come back as they were."""
    rows = [row("a", name=name), synthetic_row("b", name=name, split="train")]
    assert written(tmp_path, rows) == rows


@settings(max_examples=60)
@given(names=st.lists(st.text(st.characters(codec="utf-8"), max_size=12), min_size=1, max_size=4))
def test_round_trip(names: list[str], tmp_path_factory: pytest.TempPathFactory) -> None:
    """Any names that text can hold are read as they were written."""
    rows = [row(str(number), name=name) for number, name in enumerate(names)]
    found = written(tmp_path_factory.mktemp("manifest"), rows)
    assert {one.image_id: one for one in found} == {one.image_id: one for one in rows}


def test_all_columns(tmp_path: Path) -> None:
    """Every column survives, with several parents, several classes and none at all."""
    rows = [
        row("a", split="", human_verified=False, boxes=()),
        row("b", split="train", boxes=((0, 12), (3, 1))),
        synthetic_row("d", generator="generators/a, b.py:fit", generator_version="1.2 (of today)"),
        synthetic_row("c", parents=(sha("a"), sha("b")), lineage_depth=7, generation=12, run="recursive-12"),
    ]
    assert written(tmp_path, rows) == rows


def test_name_of_bytes(tmp_path: Path) -> None:
    """A file name that is not UTF-8 is escaped; it does not stop the stage."""
    (found,) = written(tmp_path, [row("a", name="scan-\udcff.png")])
    assert found.name == r"scan-\udcff.png"


def test_empty(tmp_path: Path) -> None:
    """A manifest without rows is a table without rows, as of the base run's synthetic images."""
    assert written(tmp_path, []) == []


def test_order_does_not_matter(tmp_path: Path) -> None:
    """Rows are sorted before they are written, so equal manifests are equal files."""
    rows = [row("b"), row("a"), synthetic_row("c"), row("d", split="val")]
    manifest.write(tmp_path / "one.parquet", rows)
    manifest.write(tmp_path / "two.parquet", rows[::-1])
    assert (tmp_path / "one.parquet").read_bytes() == (tmp_path / "two.parquet").read_bytes()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        pytest.param({"image_id": "abc"}, "image_id 'abc' is not a SHA-256", id="short id"),
        pytest.param({"image_id": "g" * 64}, "is not a SHA-256", id="id beyond hexadecimal"),
        pytest.param({"label_digest": ""}, "label_digest '' is not a SHA-256", id="no label digest"),
        pytest.param({"split": "holdout"}, "split 'holdout' is not one of train, val, test", id="unknown split"),
        pytest.param({"origin": "fake"}, "origin 'fake' is not real or synthetic", id="unknown origin"),
        pytest.param({"width": 0}, "size 0 x 48", id="no width"),
        pytest.param({"path": "/etc/passwd"}, "leaves the project", id="absolute path"),
        pytest.param({"path": "data/../../x.png"}, "leaves the project", id="path with dots"),
        pytest.param({"parents": (sha("b"),)}, "a real image with parents", id="real with parents"),
        pytest.param({"lineage_depth": 1}, "a real image with parents", id="real with depth"),
        pytest.param({"generator": "mixture"}, "a real image with a generator", id="real with generator"),
        pytest.param({"origin": "synthetic"}, "a synthetic image of lineage depth 0", id="synthetic without depth"),
        pytest.param({"origin": "synthetic", "lineage_depth": 1, "split": "test"}, "in split 'test'", id="in test"),
        pytest.param({"origin": "synthetic", "lineage_depth": 1, "split": "val"}, "in split 'val'", id="in val"),
    ],
)
def test_row_refused(changes: dict[str, Any], message: str, tmp_path: Path) -> None:
    """A row that cannot be is refused, and named; nothing is written."""
    with pytest.raises(ValueError, match=f"manifest row 'a': .*{message}"):
        manifest.write(tmp_path / "manifest.parquet", [row("z"), row(**changes)])
    assert not list(tmp_path.iterdir())


def test_a_part_of_it_is_damaged(tmp_path: Path) -> None:
    """A bit that changed on the disk is noticed, or it is one that says nothing."""
    path, rows = tmp_path / "manifest.parquet", [row(str(number)) for number in range(40)]
    manifest.write(path, rows)
    data, sound, noticed = path.read_bytes(), manifest.read(path), 0
    for place in range(0, len(data), 13):
        path.write_bytes(data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :])
        try:
            assert manifest.read(path) == sound
        except UserError as error:
            assert "manifest.parquet" in str(error)  # noqa: PT017 - the other outcome is above
            noticed += 1
    assert noticed > len(data) / 13 / 2


@pytest.mark.parametrize("content", [b"", b"\xff\xfe", b"a,b\n1,2\n1,2,3\n"], ids=["empty", "not text", "ragged"])
def test_no_table(content: bytes, tmp_path: Path) -> None:
    """A file that is no table at all is refused too."""
    path = tmp_path / "manifest.parquet"
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"is not a table.*dvc repro"):
        manifest.read(path)


def test_missing(tmp_path: Path) -> None:
    """A missing manifest, or list of classes, says which command makes it."""
    with pytest.raises(UserError, match=r"manifest\.parquet is missing\. Run `uv run dvc repro`"):
        manifest.read(tmp_path / "manifest.parquet")
    with pytest.raises(UserError, match=r"classes\.json is missing\. Run `uv run dvc repro`"):
        manifest.read_classes(tmp_path / "classes.json")


def test_label_path() -> None:
    """Labels lie beside images, under the name that ultralytics looks for."""
    assert str(row(path="data/real/images/x.y.jpg").label_path) == "data/real/labels/x.y.txt"


def test_counts() -> None:
    """Boxes are counted by class, absent classes as none."""
    assert manifest.count_boxes([builders.box(3), builders.box(1), builders.box(3)]) == ((1, 1), (3, 2))
    assert manifest.class_counts([row(boxes=((1, 2),)), row("b", boxes=((1, 1), (2, 5)))], 4) == [0, 3, 5, 0]


@pytest.mark.parametrize(
    ("counts", "share", "named", "rare"),
    [
        pytest.param([90, 10], 0.1, [], [], id="exactly the share"),
        pytest.param([91, 9], 0.1, [], ["b"], id="under the share"),
        pytest.param([91, 9], 0.0, ["a"], ["a"], id="named"),
        pytest.param([9, 91], 0.1, ["b"], ["a", "b"], id="under the share and named, in class order"),
        pytest.param([100, 0], 0.1, [], ["b"], id="absent from the training data"),
        pytest.param([0, 0], 0.1, [], [], id="no box at all"),
    ],
)
def test_rare_classes(counts: list[int], share: float, named: list[str], rare: list[str]) -> None:
    """A class is rare when its share is smaller than the limit, or when it is named."""
    assert manifest.rare_classes(counts, ["a", "b"], share=share, named=named) == rare


def test_unknown_rare_class() -> None:
    """A named class that is not in the dataset is an error."""
    with pytest.raises(UserError, match=r"audit\.rare_classes names 'c', wanted one of a, b"):
        manifest.rare_classes([1, 1], ["a", "b"], share=0.1, named=["c"])


@settings(max_examples=40)
@given(names=st.lists(st.sampled_from(HOSTILE), min_size=1, max_size=5))
def test_find(names: list[str], tmp_path_factory: pytest.TempPathFactory) -> None:
    """One image is found as reading all finds it, whatever names the others have; a parent's id finds no image."""
    path = tmp_path_factory.mktemp("find") / "manifest.parquet"
    manifest.write(path, [synthetic_row(str(number), name=name) for number, name in enumerate(names)])
    for one in manifest.read(path):
        assert manifest.find(path, one.image_id) == one
    assert manifest.find(path, sha("a")) is None
    assert manifest.find(path, sha("nowhere")) is None
    assert manifest.find(path, "") is None


@pytest.mark.parametrize(
    ("content", "message"),
    [
        pytest.param(None, "is missing. Run `uv run dvc repro`", id="missing"),
        pytest.param(f"image_id,name\n{sha('a')},x\n".encode(), "is not a table", id="no Parquet"),
        pytest.param(records.parquet({"image_id": [sha("a")]}), "has the columns", id="few columns"),
    ],
)
def test_find_in_no_manifest(content: bytes | None, message: str, tmp_path: Path) -> None:
    """What is no manifest is refused, with the command that makes it anew."""
    path = tmp_path / "manifest.parquet"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UserError, match=message):
        manifest.find(path, sha("a"))


def test_find_beyond_the_first_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows are read in groups; one is found in any of them."""
    monkeypatch.setattr(parquet, "GROUP", 3)
    rows = [row(str(number)) for number in range(10)]
    manifest.write(tmp_path / "manifest.parquet", rows)
    assert [manifest.find(tmp_path / "manifest.parquet", one.image_id) for one in rows] == rows
    assert manifest.find(tmp_path / "manifest.parquet", sha("nowhere")) is None
