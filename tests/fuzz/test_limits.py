"""The limits that docs/input.md states are those of the code."""

from __future__ import annotations

import re

import pytest

from pipeline.core import images, incoming, jpeg_file, labels, model_descriptions, params, plain_json, plain_yaml
from pipeline.core.sources import found, voc
from pipeline.core.sources import yolo as yolo_source
from tests.project import ROOT

TEXT = " ".join((ROOT / "docs/input.md").read_text().split())
MIB = 1 << 20
STATED = {
    "max_pixels": f"{params.load(ROOT / 'params.yaml').ingest.max_pixels // 10**6} million; looked at",
    "image files": f"{incoming._PIXEL} a pixel of `ingest.max_pixels`, and {incoming._BESIDE // MIB} MiB",
    "chunks": f"chunks of a PNG | {images._MOST_CHUNKS:,} |",
    "image data": f"8 bytes a pixel, and {images._SLACK // MIB} MiB",
    "scans": f"scans of a JPEG | {jpeg_file.MOST_SCANS} |",
    "runs": f"packed in runs | {images._MOST_RUNS:,} |",
    "labels": f"| {labels.LARGEST_FILE // MIB} MiB, {yolo_source._MOST_LINES:,} lines |",
    "data.yaml": f"| {plain_yaml.MOST // MIB} MiB, {plain_yaml._MOST_VALUES:,} values |",
    "numbers": f"numbers of over {plain_yaml._LONGEST_NUMBER} characters, more than {plain_yaml._MOST_MERGED:,} merged",
    "lists": f"| {yolo_source._LARGEST_LIST // MIB} MiB | lines",
    "JSON": {10: "a tenth of the free memory"}[plain_json._MEMORY],
    "XML": f"| {voc._MAX_XML // MIB} MiB, {voc._MOST_PARTS:,} elements |",
    "class names": f"| class names | {found._LONGEST_CLASS} characters |",
    "descriptions": f"no number over {model_descriptions._LARGEST_NUMBER:,}",
}


@pytest.mark.parametrize("limit", STATED)
def test_limit(limit: str) -> None:
    """A limit is stated as it is."""
    assert STATED[limit] in TEXT


def test_formats() -> None:
    """The formats that are named are those that are read."""
    named = re.search(r"## Images (.*?), told by", TEXT)
    assert named is not None
    assert set(re.split(r", | and ", named.group(1))) == {name for _, name, _ in images._FORMATS}
