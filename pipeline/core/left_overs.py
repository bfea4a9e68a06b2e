"""What a killed process leaves beside the files that it was writing."""

from __future__ import annotations

import contextlib
import re
import shutil
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from pipeline.core import paths
from pipeline.core.files import ASIDE

_OWN_FOLDERS = (*(paths.DATA / name for name in paths.RUN_STAGES), paths.HISTORY, paths.CURRENT, paths.REPORTS)
_OWN_FILES = (paths.PARAMS, paths.DVC_LOCK, paths.REAL, paths.VERIFIED, paths.TEST_LOCK, paths.ANCHORS, paths.REVIEW)
_OF_DVC = re.compile(r"\.[\w-]{22}\.tmp")  # names of files that DVC is writing, in a cache, a remote or a data folder
_DAY = 86_400.0  # seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class Swept:
    """Files that were removed, and the bytes that they took."""

    files: int
    size: int


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
    found += [path for path in paths.DATA.glob("*/.*.tmp") if _OF_DVC.fullmatch(path.name)]
    for path in found:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
    return sorted(found)


def sweep_stores(stores: Iterable[Path]) -> Swept:
    """Remove what DVC was writing into caches, and into remotes that are folders, when it was killed a day ago or more.

    DVC itself never does. Others may use the folders as well: what is younger may be theirs.

    Args:
        stores: folders of caches and remotes; those that are not there, or are others' files, are passed over.
    """
    number = size = 0
    for store in stores:
        for path in store.glob("files/md5/??/.*.tmp"):
            with contextlib.suppress(OSError):
                about = path.stat()
                if _OF_DVC.fullmatch(path.name) and time.time() - about.st_mtime > _DAY:
                    path.unlink()
                    number, size = number + 1, size + about.st_size
    return Swept(files=number, size=size)
