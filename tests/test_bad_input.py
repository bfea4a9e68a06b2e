"""What people get wrong: a clear error, exit code 1, no traceback, and nothing half written."""

from __future__ import annotations

import io
import json
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from PIL import Image

from pipeline import accepting, gate, ingest, mix, verify
from pipeline.core import images, ledger, manifest, paths
from pipeline.core.errors import UserError
from tests.project import ROOT


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty project folder with the default params.yaml, as the working directory."""
    (tmp_path / "params.yaml").write_text((ROOT / "params.yaml").read_text())
    monkeypatch.chdir(tmp_path)
    return tmp_path


def change(edit: Callable[[dict[str, Any]], None]) -> None:
    """Edit params.yaml."""
    value = yaml.safe_load(paths.PARAMS.read_text())
    edit(value)
    paths.PARAMS.write_text(yaml.safe_dump(value))


def photo(seed: int) -> bytes:
    """A small PNG of noise."""
    pixels = np.random.default_rng(seed).integers(0, 255, size=(32, 48, 3), dtype=np.uint8)
    return images.encode_png(pixels)


def yolo_source(root: Path, *, photos: int = 6, splits: tuple[str, ...] = ("train", "val", "test")) -> Path:
    """A YOLO dataset with some images a split, each with one box."""
    for number, split in enumerate(splits):
        for index in range(photos):
            image = root / split / "images" / f"{split}{index}.png"
            label = root / split / "labels" / f"{split}{index}.txt"
            image.parent.mkdir(parents=True, exist_ok=True)
            label.parent.mkdir(parents=True, exist_ok=True)
            image.write_bytes(photo(100 * number + index))
            label.write_text("0 0.5 0.5 0.2 0.2\n")
    folders = {split: f"{split}/images" for split in splits}
    (root / "data.yaml").write_text(yaml.safe_dump({"names": ["cat", "dog"], **folders}))
    return root


def use(source: Path, **settings: Any) -> None:
    """Point params.yaml at a YOLO source."""
    change(lambda params: params["ingest"].update(source="yolo", path=str(source), max_rejected=1.0, **settings))


def huge_png() -> bytes:
    """A PNG whose header claims 50,000 x 50,000 pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 50_000, 50_000, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(100))) + chunk(b"IEND", b"")
    )


def cut_jpeg() -> bytes:
    """A JPEG without its second half."""
    buffer = io.BytesIO()
    pixels = np.random.default_rng(5).integers(0, 255, size=(64, 64, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(buffer, "JPEG")
    return buffer.getvalue()[: len(buffer.getvalue()) // 2]


def marked_png() -> bytes:
    """A PNG that this project generated."""
    return images.encode_png(np.zeros((8, 8, 3), dtype=np.uint8), {images.SYNTHETIC_MARK: "{}"})


@pytest.mark.parametrize(
    ("name", "data", "reason"),
    [
        pytest.param("cut.jpg", cut_jpeg(), "cut off", id="truncated-jpeg"),
        pytest.param("text.png", b"not an image", "not an image", id="text-named-png"),
        pytest.param("huge.png", huge_png(), "pixels", id="decompression-bomb"),
        pytest.param("empty.png", b"", "empty file", id="empty-file"),
        pytest.param("synthetic.png", marked_png(), "synthetic", id="marked-as-synthetic"),
    ],
)
def test_a_bad_image_is_rejected_with_its_reason(folder: Path, name: str, data: bytes, reason: str) -> None:
    """One bad file is named in the decisions, and the others are kept."""
    source = yolo_source(folder / "source")
    (source / "train/images" / name).write_bytes(data)
    (source / "train/labels" / name).with_suffix(".txt").write_text("")
    use(source)
    ingest.main()
    decisions = paths.REAL_DECISIONS.read_text()
    line = next(line for line in decisions.splitlines() if name in line and line.startswith("image"))
    assert "rejected" in line
    assert reason in line
    assert len(manifest.read(paths.REAL_MANIFEST)) == 18


def test_what_was_found_is_kept_or_rejected(folder: Path) -> None:
    """Images, boxes and stray labels add up: nothing is dropped in silence."""
    source = yolo_source(folder / "a source with spaces and ümlauts")
    (source / "train/labels/train0.txt").write_text(
        "0 0.5 0.5 0.2 0.2\n0 nan 0.5 0.1 0.1\n0 0.5 0.5 -0.1 0.1\n99 0.5 0.5 0.1 0.1\n0 0.5 0.5 0.2 0.2\n"
    )
    (source / "train/labels/stray.txt").write_text("0 0.5 0.5 0.2 0.2\n")
    (source / "train/labels/train1.txt").unlink()
    use(source)
    ingest.main()
    lines = paths.REAL_DECISIONS.read_text().splitlines()[1:]
    assert sum(line.startswith("image,") for line in lines) == 18
    assert sum(line.startswith("box,") for line in lines) == 17 + 4
    for word in ("finite", "negative", "99", "repeated line", "no label file", "stray.txt"):
        assert any(word in line and "rejected" in line for line in lines), word


def test_too_much_rejected_stops_and_leaves_the_old_output(folder: Path) -> None:
    """More rejections than ingest.max_rejected are an error, and what was ingested before stays."""
    source = yolo_source(folder / "source")
    use(source)
    ingest.main()
    before = paths.REAL_MANIFEST.read_bytes()
    (source / "val/images/val0.png").write_bytes(b"gone")
    change(lambda params: params["ingest"].update(max_rejected=0.02))
    with pytest.raises(UserError, match=r"1 of 18 images were rejected.*val0"):
        ingest.main()
    assert paths.REAL_MANIFEST.read_bytes() == before
    assert not list(paths.REAL.parent.glob(".real.*"))


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        pytest.param({"names": ["cat", "cat"]}, "twice", id="class-name-twice"),
        pytest.param({"train": "../elsewhere"}, "outside|leads out|leave", id="path-with-dots"),
        pytest.param({"train": "nowhere"}, "nowhere", id="missing-folder"),
        pytest.param({"names": None}, "names", id="no-names"),
    ],
)
def test_a_bad_data_yaml_is_an_error(folder: Path, edit: dict[str, Any], message: str) -> None:
    """A data.yaml that cannot be right stops before anything is written."""
    source = yolo_source(folder / "source")
    (folder / "elsewhere").mkdir()
    path = source / "data.yaml"
    path.write_text(yaml.safe_dump(yaml.safe_load(path.read_text()) | edit))
    use(source)
    with pytest.raises(UserError, match=message):
        ingest.main()
    assert not paths.REAL.exists()


def test_an_empty_source_is_an_error(folder: Path) -> None:
    """A source without images says where it looked."""
    (folder / "source").mkdir()
    use(folder / "source")
    (folder / "source/data.yaml").write_text("names: [cat]\ntrain: .\n")
    with pytest.raises(UserError, match="no image"):
        ingest.main()


def ingested(folder: Path, **arguments: Any) -> None:
    """Ingest and accept a YOLO source."""
    use(yolo_source(folder / "source", **arguments))
    ingest.main()
    accepting.accept(reviewer="a tester", reason="made for this test")


def test_an_empty_test_split_is_an_error(folder: Path) -> None:
    """A source without test images says how to divide it."""
    ingested(folder, splits=("train", "val"))
    with pytest.raises(UserError, match=r"test split is empty.*identity"):
        verify.main()


def test_unaccepted_images_are_not_used(folder: Path) -> None:
    """Without an acceptance the error has the command that gives it."""
    use(yolo_source(folder / "source"))
    ingest.main()
    paths.LEDGER.write_text("time,decision,image_id,label_digest,reviewer,reason,previous,hash\n")
    with pytest.raises(UserError, match="tailwatch accept"):
        verify.main()


def test_a_changed_label_is_quarantined(folder: Path) -> None:
    """New labels of an accepted image withdraw its verification."""
    ingested(folder)
    (folder / "source/train/labels/train0.txt").write_text("0 0.5 0.5 0.3 0.3\n")
    ingest.main()
    verify.main()
    assert json.loads(paths.VERIFIED_SUMMARY.read_text())["quarantined"] == 1


def test_a_changed_test_split_is_an_error(folder: Path) -> None:
    """The frozen test split cannot change by accident; the message says how to begin anew."""
    ingested(folder)
    verify.main()
    (folder / "source/test/labels/test0.txt").write_text("1 0.5 0.5 0.3 0.3\n")
    ingest.main()
    accepting.accept(reviewer="a tester", reason="corrected")
    with pytest.raises(UserError, match=r"frozen.*1 with other labels.*new-baseline"):
        verify.main()


def test_a_leak_is_removed_from_train(folder: Path) -> None:
    """A re-encoded copy of a test image does not stay in train."""
    source = yolo_source(folder / "source")
    pixels = np.asarray(Image.open(source / "test/images/test0.png"))
    Image.fromarray(pixels).save(source / "train/images/copy.bmp")
    (source / "train/labels/copy.txt").write_text("0 0.5 0.5 0.2 0.2\n")
    use(source)
    ingest.main()
    accepting.accept(reviewer="a tester", reason="made for this test")
    verify.main()
    decisions = paths.VERIFIED_DECISIONS.read_text()
    assert "leak" in next(line for line in decisions.splitlines() if "copy.bmp" in line)
    assert sum(row.split == "train" for row in manifest.read(paths.VERIFIED_MANIFEST)) == 6


def test_a_rejected_image_stays_rejected(folder: Path) -> None:
    """Accepting everything that was ingested leaves out what a person rejected."""
    ingested(folder)
    row = manifest.read(paths.REAL_MANIFEST)[0]
    ledger.append(
        paths.LEDGER,
        "reject",
        image_id=row.image_id,
        label_digest=row.label_digest,
        reviewer="a tester",
        reason="blurred",
        lock=paths.LEDGER_LOCK,
    )
    assert accepting.pending().images == 0
    accepting.accept(reviewer="a tester", reason="again")
    verify.main()
    assert row.image_id not in {kept.image_id for kept in manifest.read(paths.VERIFIED_MANIFEST)}


def test_an_edited_ledger_stops_the_pipeline(folder: Path) -> None:
    """A changed row breaks the chain, and the message names it."""
    ingested(folder)
    paths.LEDGER.write_text(paths.LEDGER.read_text().replace("a tester", "somebody"))
    with pytest.raises(UserError, match=r"row 1.*edited"):
        verify.main()


def test_a_stage_of_an_unknown_run_names_the_runs(folder: Path) -> None:
    """A misspelt run name is answered with what there is."""
    ingested(folder)
    verify.main()
    with pytest.raises(UserError, match="did you mean 'guarded-1'"):
        mix.main("gaurded-1")
    with pytest.raises(UserError, match="missing"):
        gate.main("guarded-1")


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        pytest.param(lambda params: params["gate"].update(min_supprt=3), "no key 'min_supprt'", id="unknown-key"),
        pytest.param(lambda params: params["arms"]["guarded"].update(ratio=1.2), "1.2", id="ratio-over-1"),
        pytest.param(lambda params: params["runs"]["guarded-2"].update(previous="nobody"), "nobody", id="no-previous"),
        pytest.param(lambda params: params["runs"]["guarded-1"].update(previous="guarded-3"), "cycle", id="cycle"),
    ],
)
def test_bad_parameters_stop_every_stage(folder: Path, edit: Callable[[dict[str, Any]], None], message: str) -> None:
    """params.yaml is checked whole, before a stage does anything."""
    change(edit)
    with pytest.raises(UserError, match=message):
        ingest.main()
    assert not paths.REAL.exists()
