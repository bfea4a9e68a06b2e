"""What a killed process leaves beside the files that it was writing."""

from __future__ import annotations

import shutil
from pathlib import Path

from pipeline.core import paths
from pipeline.core.files import ASIDE

_OWN_FOLDERS = (*(paths.DATA / name for name in paths.RUN_STAGES), paths.HISTORY, paths.CURRENT, paths.REPORTS)
_OWN_FILES = (paths.PARAMS, paths.DVC_LOCK, paths.REAL, paths.VERIFIED, paths.TEST_LOCK, paths.ANCHORS, paths.REVIEW)


def sweep() -> list[Path]:
    """Remove half-written files and scratch folders of stages that were killed; gives those that were there.

    Only whoever has the project alone may do this: what a living stage writes looks the same. What people decide on
    meanwhile, which is the ledger and all that belongs to it, is left alone.
    """
    found = [path for folder in _OWN_FOLDERS for path in folder.glob(".*") if ASIDE.fullmatch(path.name)]
    found += [
        path for own in _OWN_FILES for path in own.parent.glob(f".{own.name}.*") if ASIDE.fullmatch(path.name)
    ]  # fmt: skip
    found += paths.STATE.glob("confirm-*")
    for path in found:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
    return sorted(found)
