"""Kinds of label files, of each layout, and of the files that describe a source; and what must become of each.

A kind's last part is what the reason has in it: of a label file, why a box or the image is rejected (None: nothing is);
of a file that describes a whole source, why it is refused (None: it is read).
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

BOX = "0 0.5 0.5 0.25 0.25\n"
MILLION = 1_000_000

Content = bytes | str | dict[str, Any]
Kinds = dict[str, tuple[Content | Callable[[], Content], str | None]]  # large ones are made when they are asked for


def made(content: Content | Callable[[], Content]) -> bytes:
    """The bytes of a kind of file."""
    value = content() if callable(content) else content
    text = json.dumps(value) if isinstance(value, dict) else value
    return text.encode() if isinstance(text, str) else text


YOLO_LABELS: Kinds = {
    "one box": (BOX.encode(), None),
    "empty": (b"", None),
    "blank lines": (b"\n \n\t\n" + BOX.encode(), None),
    "UTF-8 mark": (b"\xef\xbb\xbf" + BOX.encode(), None),
    "CRLF": (b"0 0.5 0.5 0.25 0.25\r\n1 0.5 0.5 0.25 0.25\r\n", None),
    "old Macintosh line ends": (b"0 0.5 0.5 0.25 0.25\r1 0.5 0.5 0.25 0.25\r", None),
    "no line feed at the end": (BOX.strip().encode(), None),
    "tabs": (b"0\t0.5\t0.5\t0.25\t0.25\n", None),
    "form feeds": (b"0 0.5 0.5 0.25 0.25\f1 0.5 0.5 0.25 0.25\n", None),
    "exponents": (b"0 5e-1 5.0E-1 .25 2500e-4\n", None),
    "plus signs": (b"+0 +0.5 +0.5 +0.25 +0.25\n", None),
    "leading zeros": (b"000 00.5 0.50000000000000000000 0.25 0.25\n", None),
    "no-break spaces": ("0\u00a00.5\u00a00.5\u00a00.25\u00a00.25\n".encode(), None),
    "NaN": (b"0 nan 0.5 0.25 0.25\n", "finite"),
    "infinity": (b"0 0.5 inf 0.25 0.25\n", "finite"),
    "minus infinity": (b"0 0.5 0.5 -Infinity 0.25\n", "finite"),
    "overflow": (b"0 1e999 0.5 0.25 0.25\n", "finite"),
    "underflow": (b"0 0.5 0.5 1e-999 0.25\n", "area"),
    "denormal width": (b"0 0.5 0.5 1e-310 0.25\n", "area"),
    "negative centre": (b"0 -0.5 0.5 0.25 0.25\n", "fractions"),
    "negative width": (b"0 0.5 0.5 -0.25 0.25\n", "area"),
    "zero height": (b"0 0.5 0.5 0.25 0\n", "area"),
    "pixels": (b"0 320 240 50 50\n", "fractions"),
    "out of the frame": (b"0 0.99 0.99 0.5 0.5\n", "outside the frame"),
    "class below zero": (b"-1 0.5 0.5 0.25 0.25\n", "class id -1"),
    "class beyond the last": (b"3 0.5 0.5 0.25 0.25\n", "class 3 of 3"),
    "class of ten digits": (b"4294967296 0.5 0.5 0.25 0.25\n", "whole number"),
    "class of a million digits": (lambda: b"9" * MILLION + b" 0.5 0.5 0.25 0.25\n", "whole number"),
    "class with a fraction": (b"0.0 0.5 0.5 0.25 0.25\n", "whole number"),
    "class in hexadecimal": (b"0x1 0.5 0.5 0.25 0.25\n", "whole number"),
    "class by name": (b"cat 0.5 0.5 0.25 0.25\n", "whole number"),
    "underscores": (b"0 0.5 0.5 0.2_5 0.25\n", "four fractions"),
    "digits of another alphabet": ("\u0661 0.5 0.5 0.25 0.25\n".encode(), "whole number"),
    "fullwidth digits": ("0 \uff10.5 0.5 0.25 0.25\n".encode(), "four fractions"),
    "decimal commas": (b"0 0,5 0,5 0,25 0,25\n", "four fractions"),
    "commas between": (b"0,0.5,0.5,0.25,0.25\n", "1 fields"),
    "four columns": (b"0 0.5 0.5 0.25\n", "4 fields"),
    "six columns": (b"0 0.5 0.5 0.25 0.25 0.9\n", "polygon"),
    "polygon": (b"0 0.1 0.1 0.2 0.2 0.1 0.3\n", "polygon"),
    "a million columns": (lambda: b"0 " * MILLION, "polygon"),
    "number of a million digits": (lambda: b"0 0." + b"5" * MILLION + b" 0.5 0.25 0.25\n", "four fractions"),
    "repeated line": ((BOX * 2).encode(), "repeated line"),
    "NUL in a line": (b"0 0.5\0 0.5 0.25 0.25\n", "four fractions"),
    "NULs only": (bytes(4096), "1 fields"),
    "UTF-16": (BOX.encode("utf-16"), "not text"),
    "Latin-1": (b"\xe9 0.5 0.5 0.25 0.25\n", "not text"),
    "an image": (b"\x89PNG\r\n\x1a\n\xff", "not text"),
    "a million lines": (lambda: b"0\n" * MILLION, "1,000,000 lines"),
    "a million boxes": (lambda: BOX.encode() * MILLION, "bytes, wanted at most"),
    "JSON": (b'{"class": 0}\n', "2 fields"),
    "right-to-left mark": ("\u200f0 0.5 0.5 0.25 0.25\n".encode(), "whole number"),
}

_LEVELS = tuple(zip("abcdefghi", "bcdefghij", strict=True))
LAUGHS = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{name}: &{name} [{', '.join(['*' + before] * 9)}]\n" for before, name in _LEVELS
)
MERGES = "a: &a {x: 1}\n" + "".join(
    f"{name}: &{name} {{<<: [{', '.join(['*' + before] * 9)}]}}\n" for before, name in _LEVELS
)
_PLAIN = "train: images\n"

DATA_YAML: Kinds = {
    "list of names": ("names: [cat, dog, eel]\n" + _PLAIN, None),
    "names by id": ("names: {0: cat, 2: eel, 1: dog}\n" + _PLAIN, None),
    "UTF-8 mark": (b"\xef\xbb\xbfnames: [cat, dog, eel]\n" + _PLAIN.encode(), None),
    "UTF-16": (("names: [cat, dog, eel]\n" + _PLAIN).encode("utf-16"), None),
    "CRLF": ("names: [cat, dog, eel]\r\ntrain: images\r\n", None),
    "names that look like others": ("names: ['yes', 2, '\u732b']\n" + _PLAIN, None),
    "ten thousand names": ("names: [" + ", ".join(f"c{number}" for number in range(10_000)) + "]\n" + _PLAIN, None),
    "merged bomb": (MERGES + "names: [cat, dog, eel]\n" + _PLAIN, None),
    "path of dots": ("path: ./././.\nnames: [cat, dog, eel]\n" + _PLAIN, None),
    "empty": ("", "NoneType"),
    "a list": ("- names\n", "list"),
    "a text": ("names\n", "str"),
    "malformed": ("names: [cat\n" + _PLAIN, "line 2"),
    "tabs": ("names:\n\t- cat\n", "line 2"),
    "not text": (b"names: [\xff]\n", "not plain YAML"),
    "control characters": ("names: [a\x01b]\n", "not plain YAML"),
    "NULs": (bytes(100), "not plain YAML"),
    "python object": ("names: !!python/object/apply:os.system [id]\n" + _PLAIN, "os.system"),
    "python name": ("names: !!python/name:os.system\n" + _PLAIN, "os.system"),
    "unknown tag": ("names: !mine [cat]\n" + _PLAIN, "mine"),
    "key twice": ("names: [cat]\nnames: [dog]\n" + _PLAIN, "twice"),
    "list as key": ("? [a, b]\n: 1\nnames: [cat]\n", "no plain text"),
    "anchor bomb as names": (LAUGHS + "names: *j\n" + _PLAIN, "class 0 is list"),
    "anchor bomb as entry": (LAUGHS + "names: [cat]\ntrain: *j\n", "wanted a folder"),
    "anchor bomb as key": (LAUGHS + "? *j\n: 1\n", "no plain text"),
    "anchor in itself": ("names: &a [*a]\n" + _PLAIN, "class 0 is list"),
    "merge of itself": ("names: [cat]\nx: &a {<<: *a}\n" + _PLAIN, "deeply"),
    "merged a million times": (
        "a: &a {" + ", ".join(f"k{number}: 1" for number in range(1000)) + "}\nnames: [cat]\nb:\n"
        "  <<: [" + ", ".join(["*a"] * 1000) + "]\n" + _PLAIN,
        "merged in",
    ),
    "values without end": ("names: [cat]\nx: [" + "a," * 61_000 + "]\n" + _PLAIN, "more than 60,000 values"),
    "unknown anchor": ("names: *a\n" + _PLAIN, "undefined alias"),
    "brackets without end": ("names: " + "[" * 1000, "not plain YAML"),
    "nested deep": ("names: " + "[" * 1000 + "]" * 1000 + "\n", "deeply"),
    "number without end": ("nc: " + "9" * 100_000 + "\nnames: [cat]\n" + _PLAIN, "number of 100000"),
    "number in base sixty": ("nc: 1" + ":1" * 100_000 + "\nnames: [cat]\n" + _PLAIN, "number of 200001"),
    "date that is none": ("names: [cat]\nday: 2026-99-99\n" + _PLAIN, "a date"),
    "tag that does not fit": ("names: !!int cat\n" + _PLAIN, "a number"),
    "timestamp tag": ("names: !!timestamp cat\n" + _PLAIN, "a date"),
    "bool tag": ("names: !!bool cat\n" + _PLAIN, "a tag"),
    "binary tag": ("names: !!binary [1]\n" + _PLAIN, "not plain YAML"),
    "set": ("names: !!set {cat, dog}\n" + _PLAIN, "names is set"),
    "two documents": ("names: [cat]\n---\nnames: [dog]\n", "not plain YAML"),
    "two megabytes": (lambda: "# " + "x" * (2 << 20) + "\nnames: [cat]\n" + _PLAIN, "bytes, wanted at most"),
    "no names": (_PLAIN, "names is NoneType"),
    "names a number": ("names: 3\n" + _PLAIN, "names is int"),
    "no name": ("names: []\n" + _PLAIN, "no class names"),
    "empty name": ("names: ['']\n" + _PLAIN, "empty name"),
    "null name": ("names: [null]\n" + _PLAIN, "NoneType"),
    "true for a name": ("names: [yes]\n" + _PLAIN, "bool"),
    "name twice": ("names: [cat, ' cat ']\n" + _PLAIN, "twice"),
    "half of a surrogate pair": ('names: ["\\ud800"]\n' + _PLAIN, "printable"),
    "NUL in a name": ('names: ["a\\0b"]\n' + _PLAIN, "printable"),
    "line end in a name": ('names: ["a\\nb"]\n' + _PLAIN, "printable"),
    "right-to-left override": ('names: ["a\\u202eb"]\n' + _PLAIN, "printable"),
    "name of a million letters": (lambda: "names: [" + "a" * 100_000 + "]\n" + _PLAIN, "at most 200"),
    "ids with a gap": ("names: {0: cat, 5: dog}\n" + _PLAIN, "without a gap"),
    "ids of two kinds": ("names: {0: cat, a: dog}\n" + _PLAIN, "without a gap"),
    "id below zero": ("names: {-1: cat, 0: dog}\n" + _PLAIN, "without a gap"),
    "nc of another number": ("names: [cat]\nnc: 80\n" + _PLAIN, "nc does not equal"),
    "nc a list": ("names: [cat]\nnc: [1]\n" + _PLAIN, "nc does not equal"),
    "path a number": ("path: 3\nnames: [cat]\n" + _PLAIN, "path is int"),
    "path with a NUL": ('path: "a\\0b"\nnames: [cat]\n' + _PLAIN, "no folder can be called"),
    "path with half a pair": ('path: "\\ud800"\nnames: [cat]\n' + _PLAIN, "no folder"),
    "path of a million letters": ("path: " + "a" * 100_000 + "\nnames: [cat]\n" + _PLAIN, "no folder"),
    "path to the root": ("path: /\nnames: [cat]\ntrain: etc\n", "the system's"),
    "path to the devices": ("path: /dev\nnames: [cat]\ntrain: shm\n", "the system's"),
    "path to the processes": ("path: /proc/self\nnames: [cat]\ntrain: fd\n", "the system's"),
    "entry with dots": ("names: [cat]\ntrain: ../../..\n", "leads out"),
    "entry with many dots": ("names: [cat]\ntrain: " + "../" * 3000 + "etc\n", "leads out"),
    "entry absolute": ("names: [cat]\ntrain: /etc\n", "leads out"),
    "entry a device": ("names: [cat]\ntrain: /dev/zero\n", "leads out"),
    "entry with a NUL": ('names: [cat]\ntrain: "../a\\0b"\n', "leads out"),
    "entry of a million letters": ("names: [cat]\ntrain: ../" + "a" * 100_000 + "\n", "leads out"),
    "entry missing": ("names: [cat]\ntrain: nowhere\n", "does not exist"),
    "entry a web address": ("names: [cat]\ntrain: https://example.org/a.zip\n", "does not exist"),
    "entry an archive": ("names: [cat]\ntrain: images.zip\n", "does not exist"),
    "entry a file": ("names: [cat]\ntrain: data.yaml\n", "does not exist"),
    "entry an empty list": ("names: [cat]\ntrain: []\n", "wanted a folder"),
    "entry a mapping": ("names: [cat]\ntrain: {a: b}\n", "wanted a folder"),
    "no entry": ("names: [cat]\n", "no image found"),
}

LISTS: Kinds = {
    "good": (b"images/a.png\n./images/a.png\n", None),
    "UTF-8 mark and CRLF": (b"\xef\xbb\xbfimages/a.png\r\n", None),
    "missing image": (b"images/a.png\nimages/none.png\n", None),
    "a folder": (b"images/a.png\nimages\n", None),
    "dots": (b"images/a.png\n.\n./.\n", None),
    "a name of dots": (b"images/a.png\nimages/...\nimages/..png\nimages/.png\n", None),
    "a name of a thousand letters": (b"images/a.png\nimages/" + b"a" * 1000 + b".png\n", None),
    "another kind of file": (b"images/a.png\ndata.yaml\n", None),
    "steps upwards": (b"../../secret.png\n", "leads out"),
    "absolute": (b"/etc/passwd\n", "leads out"),
    "a device": (b"/dev/zero\n", "leads out"),
    "a NUL": (b"images/a\0.png\n", "leads out"),
    "not text": (b"\xff\xfe\n", "not text"),
    "empty": (b"", "no image found"),
}


def coco(**changes: Any) -> dict[str, Any]:
    """A COCO document of one image with one box, changed as given."""
    return {
        "images": [{"id": 1, "file_name": "a.png", "width": 48, "height": 32}],
        "categories": [{"id": 1, "name": "cat"}, {"id": 2, "name": "dog"}],
        "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "bbox": [4, 4, 20, 20]}],
    } | changes


def _annotation(**changes: Any) -> dict[str, Any]:
    return coco(annotations=[{"id": 1, "image_id": 1, "category_id": 1, "bbox": [4, 4, 20, 20]} | changes])


def _image(**changes: Any) -> dict[str, Any]:
    return coco(images=[{"id": 1, "file_name": "a.png", "width": 48, "height": 32} | changes])


_RAW = json.dumps(coco())
_TWINS = [{"id": number * (2**61 - 1), "file_name": f"{number}.png"} for number in range(2000)]

COCO: Kinds = {
    "good": (coco(), None),
    "UTF-8 mark": (b"\xef\xbb\xbf" + _RAW.encode(), None),
    "UTF-16": (_RAW.encode("utf-16"), None),
    "ids as texts": (coco(images=[{"id": "x", "file_name": "a.png"}], annotations=[]), None),
    "further keys": (coco(info={"year": [[[]]]}, licenses=None), None),
    "NaN beside": (coco(info=float("nan")), None),
    "no annotations": (coco(annotations=[]), None),
    "box of NaN": (_annotation(bbox=[float("nan"), 4, 20, 20]), None),
    "box of infinity": (_annotation(bbox=[4, 4, float("inf"), 20]), None),
    "box of texts": (_annotation(bbox=["4", "4", "20", "20"]), None),
    "box of three": (_annotation(bbox=[4, 4, 20]), None),
    "box of five": (_annotation(bbox=[4, 4, 20, 20, 0]), None),
    "box in a box": (_annotation(bbox=[[4, 4, 20, 20]]), None),
    "box a mapping": (_annotation(bbox={"x": 4}), None),
    "box null": (_annotation(bbox=None), None),
    "box of true": (_annotation(bbox=[True, True, True, True]), None),
    "box of 400 digits": (_annotation(bbox=[4, 4, 10**400, 20]), None),
    "box of 1e308": (_annotation(bbox=[1e308, 1e308, 1e308, 1e308]), None),
    "box without area": (_annotation(bbox=[4, 4, 0, 20]), None),
    "box inside out": (_annotation(bbox=[20, 20, -10, -10]), None),
    "box out of the frame": (_annotation(bbox=[40, 20, 400, 400]), None),
    "unknown category": (_annotation(category_id=99), None),
    "category a list": (_annotation(category_id=[1]), None),
    "category missing": (_annotation(category_id=None), None),
    "category of 400 digits": (_annotation(category_id=10**400), None),
    "dangling image": (_annotation(image_id=7), None),
    "image id a mapping": (_annotation(image_id={}), None),
    "image id null": (_annotation(image_id=None), None),
    "annotation id a long text": (lambda: _annotation(id="x" * MILLION, category_id=99), None),
    "annotation id with line ends": (_annotation(id="a\r\n\0b", category_id=99), None),
    "crowd": (_annotation(iscrowd=1), None),
    "segmentation deep": (_annotation(segmentation=[[[[[[]]]]]]), None),
    "annotation a number": (coco(annotations=[7, None, [], "x"]), None),
    "annotation twice": (coco(annotations=coco()["annotations"] * 2), None),
    "image a number": (coco(images=[7, None, [], *coco()["images"]]), None),
    "image twice": (coco(images=coco()["images"] * 2), None),
    "two images of an id": (coco(images=[*coco()["images"], {"id": 1, "file_name": "b.png"}]), None),
    "image without id": (_image(id=None), None),
    "image without name": (_image(file_name=None), None),
    "name a list": (_image(file_name=["a.png"]), None),
    "name missing on the disk": (_image(file_name="none.png"), None),
    "name absolute": (_image(file_name="/etc/passwd"), None),
    "name with steps upwards": (_image(file_name="../../secret.png"), None),
    "name a device": (_image(file_name="/dev/zero"), None),
    "name with a NUL": (_image(file_name="a\0.png"), None),
    "name with half a pair": (_image(file_name="\ud800.png"), None),
    "name of a byte that is no text": (_image(file_name="\udcff.png"), None),
    "name of 100,000 letters": (lambda: _image(file_name="a" * 100_000 + ".png"), None),
    "name of dots": (_image(file_name="..."), None),
    "name a folder": (_image(file_name="."), None),
    "name in other letters": (_image(file_name="A.PNG"), None),
    "name a web address": (_image(file_name="https://example.org/a.png"), None),
    "name with backslashes": (_image(file_name="C:\\a.png"), None),
    "another size": (_image(width=640, height=480), None),
    "size of 400 digits": (_image(width=10**400, height=10**400), None),
    "size of texts": (_image(width="48", height=None), None),
    "size below zero": (_image(width=-48, height=-32), None),
    "ids that share a hash": (coco(images=[*coco()["images"], *_TWINS]), None),
    "category a parent": (coco(categories=[{"id": 1, "name": "cat", "supercategory": [[[["x"]]]]}]), None),
    "empty": (b"", "wanted JSON"),
    "a list": (b"[]", "holds list"),
    "a number": (b"7", "holds int"),
    "malformed": (_RAW[:-20].encode(), "wanted JSON"),
    "more after the end": (_RAW.encode() + b"{}", "wanted JSON"),
    "not text": (b"\xff\xfe\xff", "not JSON"),
    "NULs": (bytes(100), "JSON"),
    "nested deep": (b"[" * 100_000, "not JSON"),
    "nested deep as objects": (b'{"a":' * 100_000, "not JSON"),
    "number without end": (b'{"images": ' + b"9" * 100_000 + b"}", "not JSON"),
    "key twice": (_RAW[:-1].encode() + b', "images": []}', "twice"),
    "key twice inside": (_RAW.replace('"id": 1,', '"id": 1, "id": 2,', 1).encode(), "twice"),
    "no images": (coco(images=None), "images is NoneType"),
    "no categories": (coco(categories=None), "categories is NoneType"),
    "annotations a mapping": (coco(annotations={}), "annotations is dict"),
    "images a text": (coco(images="a.png"), "images is str"),
    "category without id": (coco(categories=[{"name": "cat"}]), "no id"),
    "category a text": (coco(categories=["cat"]), "no id"),
    "category without name": (coco(categories=[{"id": 1}]), "NoneType"),
    "category name a list": (coco(categories=[{"id": 1, "name": ["cat"]}]), "list"),
    "category name twice": (coco(categories=[{"id": 1, "name": "cat"}, {"id": 2, "name": "cat"}]), "twice"),
    "category id twice": (coco(categories=[{"id": 1, "name": "cat"}, {"id": 1, "name": "dog"}]), "share an id"),
    "category name half a pair": (coco(categories=[{"id": 1, "name": "\ud800"}]), "printable"),
    "category name with a NUL": (coco(categories=[{"id": 1, "name": "a\0"}]), "printable"),
    "category name of a million letters": (lambda: coco(categories=[{"id": 1, "name": "a" * MILLION}]), "at most 200"),
}


def voc(
    *, name: str = "cat", box: tuple[object, ...] = (4, 4, 24, 24), size: tuple[object, ...] = (48, 32), more: str = ""
) -> str:
    """A VOC annotation of one object."""
    corners = "".join(f"<{tag}>{one}</{tag}>" for tag, one in zip(("xmin", "ymin", "xmax", "ymax"), box, strict=False))
    sides = "".join(f"<{tag}>{one}</{tag}>" for tag, one in zip(("width", "height"), size, strict=True))
    item = f"<object><name>{name}</name><bndbox>{corners}</bndbox></object>"
    return f"<annotation><size>{sides}</size>{item}{more}</annotation>"


_ENTITIES = '<!ENTITY a "lol">' + "".join(f'<!ENTITY {name} "{f"&{before};" * 10}">' for before, name in _LEVELS)

VOC: Kinds = {
    "good": (voc(), None),
    "UTF-8 mark": (b"\xef\xbb\xbf" + voc().encode(), None),
    "declared": ("<?xml version='1.0' encoding='UTF-8'?>" + voc(), None),
    "Latin-1": (("<?xml version='1.0' encoding='ISO-8859-1'?>" + voc(name="chat\xe9")).encode("latin-1"), None),
    "no object": ("<annotation/>", None),
    "difficult": (voc(more="<object><difficult>1</difficult><name>cat</name></object>"), "without bndbox"),
    "size of zero": (voc(size=(0, 0)), None),
    "size of texts": (voc(size=("x", "y")), None),
    "size of 400 digits": (voc(size=("9" * 400, "9" * 400)), None),
    "known entities": (voc(name="cat &amp; dog"), None),
    "another size": (voc(size=(640, 480)), "its annotation is for"),
    "NaN": (voc(box=("nan", 4, 24, 24)), "finite"),
    "infinity": (voc(box=(4, 4, "inf", 24)), "finite"),
    "overflow": (voc(box=(4, 4, "1e999", 24)), "finite"),
    "text for a number": (voc(box=("four", 4, 24, 24)), "wanted a number"),
    "empty number": (voc(box=("", 4, 24, 24)), "wanted a number"),
    "digits of another alphabet": (voc(box=("\u0664", 4, 24, 24)), "wanted a number"),
    "underscores": (voc(box=("0_4", 4, 24, 24)), "wanted a number"),
    "number of a million digits": (lambda: voc(box=("4" * MILLION, 4, 24, 24)), "wanted a number"),
    "box without area": (voc(box=(4, 4, 4, 24)), "area"),
    "box inside out": (voc(box=(24, 24, 4, 4)), "area"),
    "box out of the frame": (voc(box=(4, 4, 480, 24)), "outside the frame"),
    "box of three": (voc(box=(4, 4, 24)), "without bndbox/ymax"),
    "no name": (voc(name=""), "without a name"),
    "line end in a name": (voc(name="a&#10;b"), "printable"),
    "right-to-left override": (voc(name="a\u202eb"), "printable"),
    "name of a million letters": (lambda: voc(name="a" * MILLION), "at most 200"),
    "repeated object": (voc(more="<object><name>cat</name>" + voc().split("</name>")[1].split("</ann")[0]), "repeats"),
    "empty": (b"", "malformed XML"),
    "a text": (b"cat", "malformed XML"),
    "malformed": (voc()[:-8], "malformed XML"),
    "two roots": (voc() * 2, "malformed XML"),
    "control character": (voc(name="a\x01b"), "malformed XML"),
    "unknown entity": (voc(name="&lol;"), "malformed XML"),
    "character 0": (voc(name="&#0;"), "malformed XML"),
    "bad UTF-8": (b"<annotation>\xff</annotation>", "malformed XML"),
    "UTF-16": (voc().encode("utf-16"), "NUL"),
    "UTF-32": (voc().encode("utf-32"), "NUL"),
    "UTF-7": (b"<?xml version='1.0' encoding='UTF-7'?><annotation/>", "malformed XML"),
    "EBCDIC": (b"<?xml version='1.0' encoding='cp037'?>" + voc().encode("cp037"), "malformed XML"),
    "unknown encoding": ("<?xml version='1.0' encoding='x'?>" + voc(), "malformed XML"),
    "encoding that unpacks": (b"<?xml version='1.0' encoding='zlib'?><annotation/>", "malformed XML"),
    "billion laughs": (f"<!DOCTYPE a [{_ENTITIES}]>" + voc(name="&j;"), "DOCTYPE"),
    "quadratic": (lambda: f'<!DOCTYPE a [<!ENTITY a "{"x" * 50_000}">]>' + voc(name="&a;" * 50_000), "DOCTYPE"),
    "external entity": ('<!DOCTYPE a [<!ENTITY a SYSTEM "file:///etc/passwd">]>' + voc(name="&a;"), "DOCTYPE"),
    "external DTD": ('<!DOCTYPE a SYSTEM "http://example.org/a.dtd">' + voc(), "DOCTYPE"),
    "parameter entity": ('<!DOCTYPE a [<!ENTITY % a SYSTEM "file:///dev/zero"> %a;]>' + voc(), "DOCTYPE"),
    "doctype in small letters": ("<!doctype a>" + voc(), "DOCTYPE"),
    "inclusion": (
        '<annotation xmlns:x="http://www.w3.org/2001/XInclude"><x:include href="/etc/passwd"/></annotation>',
        None,
    ),
    "nested deep": ("<annotation>" + "<a>" * 100_000 + "</a>" * 100_000 + "</annotation>", None),
    "a million elements": (lambda: "<annotation>" + "<a/>" * MILLION + "</annotation>", "elements, wanted"),
    "a thousand attributes": ("<annotation " + " ".join(f'a{number}="1"' for number in range(1000)) + "/>", None),
    "17 MB": (lambda: "<annotation>" + " " * (17 << 20) + "</annotation>", "bytes, wanted at most"),
    "YOLO labels": (BOX, "malformed XML"),
}
