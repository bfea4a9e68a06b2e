"""Kinds of the project's own files, as a person, a merge or a failing disk may leave them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.core.manifest_table import SCHEMA
from tests.fuzz.texts import LAUGHS, MERGES, MILLION, Kinds

SHA = "a" * 64
_ROW: dict[str, Any] = {
    "image_id": SHA, "name": "a.png", "path": "data/real/images/a.png", "split": "train", "origin": "real",
    "generation": 0, "run": "", "parents": [], "lineage_depth": 0, "human_verified": True, "label_digest": SHA,
    "width": 48, "height": 32, "boxes": [(0, 1)], "generator": "", "generator_version": "",
}  # fmt: skip


def parquet(columns: Mapping[str, Sequence[Any]]) -> bytes:
    """A Parquet file of these columns; those that a manifest has are of its types where the values allow it."""
    arrays = {}
    for name, values in columns.items():
        try:
            arrays[name] = pa.array(values, SCHEMA.field(name).type)
        except (KeyError, pa.ArrowException, TypeError):
            arrays[name] = pa.array(values)
    schema = pa.schema(
        [SCHEMA.field(name) if name in SCHEMA.names and arrays[name].type == SCHEMA.field(name).type
         else pa.field(name, arrays[name].type) for name in arrays]
    )  # fmt: skip
    out = pa.BufferOutputStream()
    pq.write_table(pa.Table.from_arrays(list(arrays.values()), schema=schema), out, store_schema=False)
    return bytes(out.getvalue())


def manifest(**changes: object) -> bytes:
    """A manifest of one row, changed as given, whether it may be so or not."""
    return parquet({name: [value] for name, value in (_ROW | changes).items()})


def _without(name: str) -> bytes:
    return parquet({one: [value] for one, value in _ROW.items() if one != name})


def _nothing(name: str) -> bytes:
    columns = {one: pa.array([value], SCHEMA.field(one).type) for one, value in _ROW.items()}
    columns[name] = pa.array([None], SCHEMA.field(name).type)
    out = pa.BufferOutputStream()
    pq.write_table(pa.table(columns), out, store_schema=False)
    return bytes(out.getvalue())


MANIFEST: Kinds = {
    "good": (manifest(), None),
    "without rows": (parquet({name: [] for name in _ROW}), None),
    "empty": ("", "not a table"),
    "NULs": (bytes(1000), "not a table"),
    "not text": (b"\xff\xfe", "not a table"),
    "an image": (b"\x89PNG\r\n\x1a\n", "not a table"),
    "CSV": ("image_id,name\n", "not a table"),
    "cut off": (manifest()[:-40], "not a table"),
    "the end alone": (manifest()[-40:], "not a table"),
    "zeros in the middle": (manifest()[:400] + bytes(200) + manifest()[600:], "manifest"),
    "other columns": (parquet({"a": [1], "b": [2]}), "columns"),
    "a column less": (_without("boxes"), "columns"),
    "a column more": (manifest(more=1), "columns"),
    "nothing where a digest is wanted": (_nothing("label_digest"), "columns"),
    "id too short": (manifest(image_id="abc"), "SHA-256"),
    "id of capitals": (manifest(image_id="A" * 64), "SHA-256"),
    "id and a line end": (manifest(image_id="a" * 64 + "\n"), "SHA-256"),
    "digest of words": (manifest(label_digest="x" * 64), "SHA-256"),
    "path with steps upwards": (manifest(path="../../etc/passwd"), "leaves the project"),
    "path with steps upwards at its end": (manifest(path="data/.."), "leaves the project"),
    "path absolute": (manifest(path="/etc/passwd"), "leaves the project"),
    "path with dots": (manifest(path="data/..a/b..png"), None),
    "path with a NUL": (manifest(path="a\0b"), "NUL"),
    "unknown split": (manifest(split="holdout"), "split"),
    "unknown origin": (manifest(origin="fake"), "origin"),
    "synthetic in test": (
        manifest(origin="synthetic", split="test", lineage_depth=1),
        "in split 'test'",
    ),
    "size of zero": (manifest(width=0), "size"),
    "size of words": (manifest(height="tall"), "height (string"),
    "generation below zero": (manifest(generation=-1), "generation"),
    "generation NaN": (manifest(generation=math.nan), "generation (double"),
    "verified perhaps": (manifest(human_verified="perhaps"), "human_verified (string"),
    "boxes of words": (manifest(boxes="0:1"), "boxes (string"),
    "class below zero": (manifest(boxes=[(-1, 1)]), "below zero"),
    "a million letters": (lambda: manifest(name="x" * MILLION, split="y" * MILLION), "split"),
}

LEDGER_HEADER = "time,decision,image_id,label_digest,reviewer,reason,previous,hash\n"
_ENTRY = f"2026-01-31T12:00:00+00:00,accept,{SHA},{SHA},Ada,fine,{'0' * 64},{SHA}\n"

LEDGER: Kinds = {
    "header only": (LEDGER_HEADER, None),
    "torn row": (LEDGER_HEADER + _ENTRY[:70], None),
    "zeros after the header": (LEDGER_HEADER.encode() + bytes(4096), None),
    "empty": ("", "wanted the columns"),
    "NULs": (bytes(4096), "wanted the columns"),
    "not text": (b"\xff\xfe\n", "not UTF-8"),
    "an image": (b"\x89PNG\r\n\x1a\n", "not UTF-8"),
    "other columns": ("a,b\n", "wanted the columns"),
    "newer columns": (LEDGER_HEADER.replace("hash", "hash,signature"), "newer version"),
    "edited": (LEDGER_HEADER + _ENTRY, "edited"),
    "a field less": (LEDGER_HEADER + _ENTRY.replace("fine,", ""), "fields"),
    "a field more": (LEDGER_HEADER + _ENTRY.replace("fine,", "fine,x,"), "fields"),
    "merge conflict": (LEDGER_HEADER + "<<<<<<< HEAD\n" + _ENTRY, "fields"),
    "quote without end": (LEDGER_HEADER + _ENTRY.replace("fine", '"fine'), "row 1"),
    "row not text": (LEDGER_HEADER.encode() + _ENTRY.encode().replace(b"fine", b"\xff"), "not UTF-8"),
    "a line of a million letters": (lambda: LEDGER_HEADER + "x" * MILLION + "\n", "fields"),
    "carriage returns": (LEDGER_HEADER + _ENTRY.replace("\n", "\r\n"), "row 1"),
}

CLASSES: Kinds = {
    "good": ('["cat"]', None),
    "empty": ("", "no list of names"),
    "a mapping": ('{"0": "cat"}', "no list of names"),
    "numbers": ("[1, 2]", "no list of names"),
    "NaN": ("[NaN]", "no list of names"),
    "malformed": ('["cat"', "no list of names"),
    "nested deep": ("[" * 100_000, "no list of names"),
    "not text": (b'["\xff"]', "no list of names"),
    "NULs": (bytes(100), "no list of names"),
}

TIMES: Kinds = {
    "good": (f"image_id,time\n{SHA},2026-01-31T12:00:00+00:00\n", None),
    "empty": ("", None),
    "no comma": ("image_id,time\nabc\n", "line 2"),
    "other ids": ("image_id,time\nabc,2026-01-31\n", "line 2"),
    "not text": (b"image_id,time\n" + SHA.encode() + b",\xff\n", "line 2"),
    "a field more": (f"image_id,time\n{SHA},2026-01-31T12:00:00+00:00,x\n", "line 2"),
    "an empty line": (f"image_id,time\n\n{SHA},2026-01-31T12:00:00+00:00\n", "line 2"),
    "a quote": (f'image_id,time\n"{SHA}",2026-01-31T12:00:00+00:00\n', "line 2"),
    "NULs": (b"image_id,time\n" + bytes(100), "line 2"),
}

FROZEN: Kinds = {
    "good": (f"{SHA} {SHA}\n", None),
    "empty": ("", None),
    "one digest": (SHA, "line 1"),
    "words": ("a b\n", "line 1"),
    "NULs": (bytes(100), "line 1"),
    "merge conflict": (f"<<<<<<< HEAD\n{SHA} {SHA}\n", "line 1"),
}

RECORD: Kinds = {
    "empty": ("", "cannot be read"),
    "NULs": (bytes(100), "cannot be read"),
    "not text": (b"\xff\xfe", "cannot be read"),
    "a list": ("[]", "cannot be read"),
    "null": ("null", "cannot be read"),
    "no version": ("{}", "version"),
    "version a text": ('{"version": "2"}', "cannot be read"),
    "version of 400 digits": ('{"version": ' + "9" * 400 + "}", "cannot be read"),
    "another version": ('{"version": 99}', "version 99"),
    "the version alone": ('{"version": 2}', "cannot be read"),
    "nested deep": ('{"version": 2, "run": ' + "[" * 100_000, "cannot be read"),
    "NaN": ('{"version": 2, "run": NaN}', "cannot be read"),
    "a key twice": ('{"version": 2, "version": 3}', "version 3"),
    "cut off": ('{"version": 2, "run": "gua', "cannot be read"),
    "merge conflict": ('<<<<<<< HEAD\n{"version": 2}\n', "cannot be read"),
}

PARAMS: Kinds = {
    "empty": ("", "wanted keys and values"),
    "a list": ("- seed\n", "wanted keys and values"),
    "a text": ("seed", "wanted keys and values"),
    "malformed": ("seed: [1\n", "not valid YAML"),
    "tabs": ("gate:\n\talpha: 1\n", "line 2"),
    "not text": (b"seed: \xff\n", "not text"),
    "UTF-16": ("seed: 1\n".encode("utf-16"), "not text"),
    "NULs": (bytes(100), "not valid YAML"),
    "an image": (b"\x89PNG\r\n\x1a\n", "not text"),
    "python object": ("seed: !!python/object/apply:os.system [id]\n", "os.system"),
    "python module": ("seed: !!python/module:os\n", "python/module:os"),
    "unknown tag": ("seed: !mine 1\n", "mine"),
    "key twice": ("seed: 1\nseed: 2\n", "twice"),
    "list as key": ("? [a]\n: 1\n", "no plain text"),
    "anchor bomb": (LAUGHS + "seed: *j\n", "no section 'a'"),
    "anchor bomb as a value": ("seed:\n- " + LAUGHS.replace("\n", "\n  ") + "\n", "seed is"),
    "anchor bomb in a section": (f"seed: 1\ningest:\n  {LAUGHS.replace(chr(10), chr(10) + '  ')}\n", "no key 'a'"),
    "merged bomb": (MERGES + "seed: 1\n", "no section 'a'"),
    "anchor in itself": ("seed: &a [*a]\n", "seed is"),
    "mapping in itself": ("seed: 1\ningest: &a {source: *a}\n", "ingest.source"),
    "merge of itself": ("ingest: &a {<<: *a}\n", "deeply"),
    "nested deep": ("seed: " + "[" * 1000 + "]" * 1000 + "\n", "deeply"),
    "number without end": ("seed: " + "9" * 100_000 + "\n", "number of 100000"),
    "date that is none": ("seed: 2026-99-99\n", "a date"),
    "tag that does not fit": ("seed: !!int cat\n", "a number"),
    "bool tag": ("seed: !!bool cat\n", "a tag"),
    "two documents": ("seed: 1\n---\nseed: 2\n", "not valid YAML"),
    "two megabytes": (lambda: "# " + "x" * (2 << 20), "bytes, wanted at most"),
    "merge conflict": ("<<<<<<< HEAD\nseed: 1\n=======\nseed: 2\n", "not valid YAML"),
    "key of a million letters": (lambda: f"? {'a' * 100_000}\n: 1\n", "no section"),
    "value of a million letters": (lambda: f"seed: {'a' * 100_000}\n", "seed is"),
    "null key": ("null: 1\n", "no section None"),
    "number as key": ("1: 1\n", "no section 1"),
    "NUL in a text": ('seed: "a\\0b"\n', "seed is"),
}
