"""What was synthetic once stays on record, whatever becomes of its files."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from pipeline.core import impostors, paths, synthetic_past
from pipeline.core.errors import UserError
from pipeline.core.manifest import Row
from pipeline.core.paths import RunPaths
from tests.builders import row, synthetic_row
from tests.core.test_impostors import made, put, scene


@pytest.fixture
def child(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Row:
    """A project with one synthetic image, which is on record."""
    monkeypatch.chdir(tmp_path)
    one = put(synthetic_row(), scene(1))
    made(one)
    synthetic_past.keep(one.run)
    return one


def ids() -> list[str]:
    """The images on record."""
    return [one.portrait.image_id for one in synthetic_past.everything()]


def test_pruned_images_are_remembered(child: Row) -> None:
    """A run whose images and manifest are gone is recognised all the same, with its parents."""
    shutil.rmtree(paths.GENERATED)
    (found,) = synthetic_past.everything()
    assert (found.portrait.image_id, found.run, found.parents) == (child.image_id, "guarded-1", child.parents)
    with pytest.raises(UserError, match="of run guarded-1: cropped"):
        impostors.require_real([put(row("b"), scene(1)[10:110, 12:150])])


def test_a_run_made_anew_adds_to_the_record(child: Row) -> None:
    """Images of an earlier making stay known beside those of the new one."""
    new = put(synthetic_row("new"), scene(2))
    made(new)
    assert sorted(ids()) == sorted([child.image_id, new.image_id])
    assert sorted(ids()) == sorted([child.image_id, new.image_id])


@pytest.mark.parametrize(
    "data",
    [b"", b"no archive", b"PK\x05\x06" + bytes(18), b"PK\x03\x04" + bytes(40)],
    ids=["empty", "text", "empty-zip", "cut-off"],
)
def test_a_damaged_record_is_made_anew(child: Row, data: bytes) -> None:
    """A record that cannot be read is taken from the images again."""
    record = paths.PORTRAITS / "guarded-1.npz"
    record.write_bytes(data)
    assert ids() == [child.image_id]
    assert len(record.read_bytes()) > 4096


def test_images_that_are_not_checked_out(child: Row) -> None:
    """They are known by their pixels at once, and by their looks as soon as they are there."""
    away = put(synthetic_row("away", path="data/generate/guarded-1/images/away.png"), scene(3))
    made(child, away)
    file = Path(away.path)
    kept = file.read_bytes()
    file.unlink()
    seen = {one.portrait.image_id: len(one.portrait.sketches) > 0 for one in synthetic_past.everything()}
    assert seen == {child.image_id: True, away.image_id: False}
    same = row("b", path="data/real/images/b.png")
    with pytest.raises(UserError, match="the same pixels"):
        impostors.require_real([put(same, scene(3))])
    file.write_bytes(kept)
    assert all(one.portrait.sketches for one in synthetic_past.everything())
    with pytest.raises(UserError, match="mirrored left to right"):
        impostors.require_real([put(same, scene(3)[:, ::-1])])


def test_the_record_is_used(child: Row, monkeypatch: pytest.MonkeyPatch) -> None:
    """While a manifest stays as it is, no image of it is read a second time."""
    Path(child.path).write_bytes(b"no longer an image")
    assert ids() == [child.image_id]
    assert RunPaths("guarded-1").synthetic_manifest.exists()
