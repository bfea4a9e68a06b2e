"""Corrected labels, kept by their digest and in git: a correction is a new version, and every older one stays."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

from pipeline.core import files, labels
from pipeline.core.errors import UserError
from pipeline.core.labels import Box
from pipeline.core.manifest import Row


def path(folder: Path, digest: str) -> Path:
    """Where labels of this digest are kept."""
    return folder / f"{digest}.txt"


def write(folder: Path, boxes: Iterable[Box]) -> str:
    """Keep labels, and give their digest; labels that are kept already stay as they are."""
    text = labels.format_boxes(boxes)
    digest = hashlib.sha256(text.encode()).hexdigest()
    target = path(folder, digest)
    if not target.exists() or target.read_bytes() != text.encode():
        files.write_text(target, text)
    return digest


def version(folder: Path, row: Row, digest: str) -> list[Box]:
    """Read one version of an image's labels: the source's own, or a person's correction.

    Args:
        folder: of the corrected labels.
        row: of the image, with the digest of the source's labels.
        digest: of the version.

    Raises:
        UserError: the labels are missing or damaged.
    """
    return labels.read(row.label_path) if digest == row.label_digest else read(folder, digest)


def read(folder: Path, digest: str) -> list[Box]:
    """Read kept labels.

    Raises:
        UserError: they are missing or were edited.
    """
    source = path(folder, digest)
    mend = f"Restore it with `git checkout -- {source}`."
    try:
        data = source.read_bytes()
    except FileNotFoundError:
        raise UserError(f"{source} is missing; the ledger names these corrected labels. {mend}") from None
    if hashlib.sha256(data).hexdigest() != digest:
        raise UserError(
            f"{source} was edited; the ledger names other labels. {mend} To correct labels again, decide in the App: "
            "that keeps both versions."
        )
    return labels.read(source)
