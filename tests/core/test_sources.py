"""Sources of each layout are read into one form, and nothing in them is lost in silence."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.core import labels
from pipeline.core.errors import UserError
from pipeline.core.sources import yolo
from pipeline.core.sources.found import Source, SourceBox, SourceImage, to_box
from pipeline.core.sources.reading import READERS, read

BCCD = Path(__file__).parents[3] / "shared" / "data" / "bccd"
BOX = "0 0.5 0.5 0.2 0.4\n"


def put(path: Path, content: str | bytes = b"not looked at") -> Path:
    """Write a file and the folders above it; readers of sources never decode an image."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def yolo_source(root: Path, files: Mapping[str, str], *, yaml: str = "names: [cat, dog, eel]\ntrain: images\n") -> Path:
    """A YOLO folder of the given files; returns it."""
    put(root / "data.yaml", yaml)
    for name, content in files.items():
        put(root / name, content)
    return root


def coco_file(path: Path, **changes: object) -> Path:
    """A COCO file of one image with one box, changed as given."""
    content: dict[str, object] = {
        "images": [{"id": 1, "file_name": "a.jpg", "width": 100, "height": 50}],
        "categories": [{"id": 7, "name": "dog"}, {"id": 3, "name": "cat"}],
        "annotations": [{"id": 5, "image_id": 1, "category_id": 7, "bbox": [10, 20, 30, 10]}],
    }
    return put(path, json.dumps(content | changes))


def annotation(*, box: Sequence[object] = (1, 2, 30, 40), name: str = "cat", filename: str = "a.jpg") -> str:
    """A VOC annotation of one object."""
    corners = "".join(
        f"<{tag}>{number}</{tag}>" for tag, number in zip(("xmin", "ymin", "xmax", "ymax"), box, strict=True)
    )
    size = "<size><width>100</width><height>50</height><depth>3</depth></size>"
    item = f"<object><name>{name}</name><bndbox>{corners}</bndbox></object>"
    return f"<annotation><filename>{filename}</filename>{size}{item}</annotation>"


def voc_source(root: Path, files: Mapping[str, str]) -> Path:
    """A VOC folder of the given files; returns it."""
    (root / "Annotations").mkdir(parents=True)
    (root / "JPEGImages").mkdir()
    for name, content in files.items():
        put(root / name, content)
    return root


def problems(source: Source) -> dict[str, str]:
    """The problem of each image that has one."""
    return {image.name: image.problem for image in source.images if image.problem is not None}


def only(source: Source) -> SourceImage:
    """The one image of a source."""
    assert len(source.images) == 1
    return source.images[0]


def test_yolo(tmp_path: Path) -> None:
    """Images, boxes and backgrounds of a YOLO folder are found, with their splits, sorted."""
    yaml = "path: .\nnames: {1: dog, 0: cat}\ntrain: [images/b, images/a]\nval: val/images\n"
    files = {
        "images/b/2.JPG": "",
        "labels/b/2.txt": f"{BOX}\n1 0.25 0.5 0.5 1\n",
        "images/a/1.png": "",
        "labels/a/1.txt": "",
        "val/images/deep/3.webp": "",
        "val/labels/deep/3.txt": "\ufeff" + BOX,
    }
    source = read("yolo", yolo_source(tmp_path, files, yaml=yaml))
    assert source.classes == ("cat", "dog")
    assert [(image.name, image.split, len(image.boxes)) for image in source.images] == [
        ("images/a/1.png", "train", 0),
        ("images/b/2.JPG", "train", 2),
        ("val/images/deep/3.webp", "val", 1),
    ]
    assert not problems(source)
    assert not source.unused
    assert source.images[1].boxes[1] == SourceBox(
        class_name="dog", corners=(0.0, 0.0, 0.5, 1.0), unit="fraction", where="labels/b/2.txt line 3"
    )


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        pytest.param("99 0.5 0.5 0.1 0.1", "class 99 of 3, wanted 0 to 2", id="class out of range"),
        pytest.param("-1 0.5 0.5 0.1 0.1", "class id -1", id="class below zero"),
        pytest.param("0 nan 0.5 0.1 0.1", "finite", id="nan"),
        pytest.param("0 0.5 0.5 inf 0.1", "finite", id="infinite"),
        pytest.param("0 -0.5 0.5 0.1 0.1", "fractions", id="negative"),
        pytest.param("0 0.5 0.5 -0.1 0.1", "negative area", id="negative width"),
        pytest.param("0 0.5 0.5 0 0.1", "zero", id="no width"),
        pytest.param("0 320 240 10 10", "fractions", id="pixels"),
        pytest.param("0 0.5 0.5 0.1", "4 fields", id="too few"),
        pytest.param("0 0.1 0.1 0.2 0.2 0.1 0.3", "polygon", id="polygon"),
        pytest.param("cat 0.5 0.5 0.1 0.1", "whole number", id="name for id"),
        pytest.param(BOX, "repeated line: the same as line 1", id="repeated"),
    ],
)
def test_yolo_line_that_is_no_box(tmp_path: Path, line: str, reason: str) -> None:
    """A bad line is rejected with file, line and reason; the good one beside it stays."""
    image = only(read("yolo", yolo_source(tmp_path, {"images/a.jpg": "", "labels/a.txt": BOX + line})))
    assert len(image.boxes) == 1
    assert [reject.name for reject in image.rejected] == ["labels/a.txt line 2"]
    assert reason in image.rejected[0].reason


def test_yolo_images_and_labels_that_do_not_match(tmp_path: Path) -> None:
    """An image without labels, labels without an image, two images of one stem and other formats all show."""
    files = {
        "images/lone.jpg": "",
        "images/twin.jpg": "",
        "images/twin.png": "",
        "images/film.gif": "",
        "labels/twin.txt": BOX,
        "labels/film.txt": BOX,
        "labels/orphan.txt": BOX,
        "labels/classes.txt": "cat",
    }
    source = read("yolo", yolo_source(tmp_path, files))
    found = problems(source)
    assert set(found) == {"images/lone.jpg", "images/twin.png", "images/film.gif"}
    assert "no label file" in found["images/lone.jpg"]
    assert "shares its label file labels/twin.txt with images/twin.jpg" in found["images/twin.png"]
    assert ".gif is not read" in found["images/film.gif"]
    assert [len(image.boxes) for image in source.images] == [1, 0, 1, 0]
    assert [(reject.name, reject.reason) for reject in source.unused] == [
        ("labels/orphan.txt", "label file without an image")
    ]


def test_yolo_image_in_two_splits(tmp_path: Path) -> None:
    """An image that two splits name belongs to test before train; the other mention shows."""
    yaml = "names: [cat]\ntrain: images\ntest: images\n"
    source = read("yolo", yolo_source(tmp_path, {"images/a.jpg": "", "labels/a.txt": BOX}, yaml=yaml))
    assert [(image.split, image.problem) for image in source.images] == [
        ("test", None),
        ("train", "listed a second time; it is in test already"),
    ]


def test_yolo_list(tmp_path: Path) -> None:
    """A .txt list gives images beside it, below the root or by absolute path; one that is missing shows."""
    yaml = "names: [cat]\ntrain: lists/train.txt\n"
    listed = f"../images/a.jpg\n\nimages/b.jpg\n{tmp_path / 'images/c.jpg'}\n./../images/gone.jpg\n../images/a.jpg\n"
    files = {"lists/train.txt": listed}
    files |= {f"images/{stem}.jpg": "" for stem in "abcd"} | {f"labels/{stem}.txt": BOX for stem in "abcdz"}
    source = read("yolo", yolo_source(tmp_path, files, yaml=yaml))
    assert [image.name for image in source.images if image.problem is None] == [f"images/{stem}.jpg" for stem in "abc"]
    assert problems(source) == {
        "images/a.jpg": "listed a second time; it is in train already",
        "images/gone.jpg": "the image file is missing",
    }
    assert [reject.name for reject in source.unused] == ["labels/z.txt"]


def test_yolo_entries_of_roboflow(tmp_path: Path) -> None:
    """Roboflow's ../train/images is the folder beside data.yaml where no other exists."""
    root = tmp_path / "export"
    yaml = "names: [cat]\ntrain: ../train/images\nvalid: ../valid/images\n"
    files = {f"{split}/{kind}" for split in ("train", "valid") for kind in ("images/a.jpg", "labels/a.txt")}
    yolo_source(root, dict.fromkeys(files, ""), yaml=yaml)
    assert [image.split for image in read("yolo", root).images] == ["train", "val"]
    put(tmp_path / "train" / "images" / "a.jpg")
    with pytest.raises(UserError, match="leads out of"):
        read("yolo", root)


@pytest.mark.parametrize(
    ("yaml", "reason"),
    [
        pytest.param("names: [cat, dog, cat]\ntrain: images", "'cat' is there twice, as 0 and 2", id="name twice"),
        pytest.param("names: {0: cat, 2: dog}\ntrain: images", "without a gap", id="gap in ids"),
        pytest.param("names: [yes, no]\ntrain: images", "class 0 is bool.*quotes", id="yaml's yes"),
        pytest.param("names: [' ']\ntrain: images", "empty name", id="blank name"),
        pytest.param("names: []\ntrain: images", "no class names", id="no names"),
        pytest.param("train: images", "names is NoneType", id="names absent"),
        pytest.param("names: [cat]\nnc: 2\ntrain: images", "nc does not equal", id="count"),
        pytest.param("- cat\n- dog", "holds list", id="no mapping"),
        pytest.param("", "holds NoneType", id="empty file"),
        pytest.param("names: [cat", "not plain YAML", id="malformed"),
        pytest.param("names: !!python/object/apply:os.getcwd []", "not plain YAML", id="unsafe tag"),
        pytest.param("[" * 3000, "not plain YAML", id="deep"),
        pytest.param("names: [cat]\npath: gone\ntrain: images", "no folder", id="no root"),
        pytest.param("names: [cat]\npath: 3\ntrain: images", "path is int", id="path is a number"),
        pytest.param("names: [cat]\ntrain: gone", "does not exist", id="no folder"),
        pytest.param(f"names: [cat]\ntrain: {'n' * 5000}", "does not exist", id="long name"),
        pytest.param("names: [cat]\ntrain: [images, 3]", "wanted a folder", id="entry is a number"),
        pytest.param("names: [cat]\ntrain: ../outside", "leads out of", id="parent"),
        pytest.param("names: [cat]\ntrain: images/../../outside", "leads out of", id="parent inside"),
        pytest.param("names: [cat]\ntrain: /etc", "leads out of", id="absolute"),
        pytest.param("names: [cat]\ntrain: link", "leads out of", id="link"),
        pytest.param("names: [cat]\ntrain: list.txt", "list.txt line 2: '../outside/a.jpg' leads out", id="list"),
        pytest.param('names: [cat]\ntrain: "a\\0b"', "leads out of", id="nul"),
        pytest.param("names: [cat]", "no image found", id="no splits"),
        pytest.param("names: [cat]\ntrain: empty", "no image found", id="empty source"),
    ],
)
def test_yolo_refused(tmp_path: Path, yaml: str, reason: str) -> None:
    """A data.yaml that is wrong, or that leads out of its folder, is refused with the reason."""
    put(tmp_path / "outside" / "a.jpg")
    root = yolo_source(tmp_path / "source", {"images/a.jpg": "", "labels/a.txt": ""}, yaml=yaml)
    put(root / "list.txt", "images/a.jpg\n../outside/a.jpg\n")
    (root / "empty").mkdir()
    (root / "link").symlink_to(tmp_path / "outside")
    with pytest.raises(UserError, match=reason):
        read("yolo", root)


def test_links(tmp_path: Path) -> None:
    """A linked image that leads out of the source and a linked folder are not followed, and show."""
    put(tmp_path / "outside" / "a.jpg")
    root = yolo_source(tmp_path / "source", {"images/b.jpg": "", "labels/b.txt": "", "labels/a.txt": ""})
    (root / "images" / "a.jpg").symlink_to(tmp_path / "outside" / "a.jpg")
    (root / "images" / "more").symlink_to(tmp_path / "outside")
    source = read("yolo", root)
    assert "a link that leads out" in problems(source)["images/a.jpg"]
    assert [(reject.name, reject.reason) for reject in source.unused] == [
        ("images/more", "a linked folder; not entered")
    ]


def test_paths_with_spaces_and_letters_of_other_alphabets(tmp_path: Path) -> None:
    """Blanks and Unicode in names of folders, files and classes survive."""
    root = tmp_path / "meine Daten ü"
    yaml = "names: ['große Katze', 猫]\ntrain: Bilder 1/images\n"
    yolo_source(root, {"Bilder 1/images/ねこ 1.jpg": "", "Bilder 1/labels/ねこ 1.txt": f"1{BOX[1:]}"}, yaml=yaml)
    image = only(read("yolo", root))
    assert (image.name, image.problem) == ("Bilder 1/images/ねこ 1.jpg", None)
    assert image.boxes[0].class_name == "猫"


@pytest.mark.parametrize("kind", sorted(READERS))
def test_name_that_is_not_utf8(tmp_path: Path, kind: str) -> None:
    """A file name of other bytes is a problem with a name that can be printed."""
    folders = {"yolo": "images", "coco": "images", "voc": "JPEGImages"}
    yolo_source(tmp_path, {"images/a.jpg": "", "labels/a.txt": ""})
    coco_file(tmp_path / "annotations" / "instances_train.json")
    put(tmp_path / "JPEGImages" / "a.jpg")
    put(tmp_path / "Annotations" / "a.xml", annotation())
    try:
        Path(os.fsdecode(bytes(tmp_path / folders[kind]) + b"/\xff.jpg")).write_bytes(b"")
    except OSError:
        pytest.skip("this file system takes UTF-8 names only")
    found = problems(read(kind, tmp_path))
    name = f"{folders[kind]}/\\udcff.jpg"
    assert name in found
    name.encode()
    assert found[name] in {"the file's name is not valid UTF-8; rename it", "no annotation file lists this image"}


def test_label_file_that_is_no_text(tmp_path: Path) -> None:
    """A label file of other bytes is a problem of its image."""
    root = yolo_source(tmp_path, {"images/a.jpg": ""})
    put(root / "labels" / "a.txt", b"\xff\xfe0 1")
    assert problems(read("yolo", root)) == {"images/a.jpg": "its label file labels/a.txt is not text in UTF-8 (byte 1)"}


@given(
    st.lists(
        st.builds(
            labels.from_corners,
            st.integers(0, 2),
            st.tuples(st.floats(0, 0.4), st.floats(0, 0.4), st.floats(0.5, 1), st.floats(0.5, 1)),
        ),
        unique=True,
        max_size=6,
    )
)
def test_yolo_round_trip(tmp_path_factory: pytest.TempPathFactory, boxes: list[labels.Box]) -> None:
    """Boxes that this project writes are read as the same boxes."""
    root = tmp_path_factory.mktemp("yolo")
    yolo_source(root, {"images/a.jpg": "", "labels/a.txt": labels.format_boxes(boxes)})
    source = yolo.read_yolo(root / "data.yaml")
    again = [
        to_box(box, class_id=source.classes.index(box.class_name), width=640, height=480, tolerance=1e-6)
        for box in only(source).boxes
    ]
    assert [box.class_id for box in again] == [box.class_id for box in sorted(boxes)]
    for box, wanted in zip(again, sorted(boxes), strict=True):
        assert box.corners() == pytest.approx(wanted.corners(), abs=2e-6)


@pytest.mark.parametrize(
    ("json_name", "image_name", "split"),
    [
        pytest.param("annotations/instances_train2017.json", "train2017/a.jpg", "train", id="coco"),
        pytest.param("annotations/instances_val.json", "images/val/a.jpg", "val", id="images of a split"),
        pytest.param("annotations/all.json", "images/a.jpg", None, id="no split"),
        pytest.param("test/_annotations.coco.json", "test/a.jpg", "test", id="roboflow"),
        pytest.param("valid/_annotations.coco.json", "valid/a.jpg", "val", id="roboflow valid"),
        pytest.param("constraint.json", "a.jpg", None, id="train inside a word"),
    ],
)
def test_coco_layouts(tmp_path: Path, json_name: str, image_name: str, split: str | None) -> None:
    """Images are found in each usual place, and the split comes from the name."""
    coco_file(tmp_path / json_name)
    put(tmp_path / image_name)
    source = read("coco", tmp_path)
    image = only(source)
    assert (image.name, image.split, image.size, image.problem) == (image_name, split, (100, 50), None)
    assert source.classes == ("cat", "dog")
    assert image.boxes[0].corners == (10, 20, 40, 30)
    assert (image.boxes[0].class_name, image.boxes[0].unit) == ("dog", "pixels")
    alone = only(read("coco", tmp_path / json_name))
    assert (alone.path, alone.split, len(alone.boxes)) == (image.path, split, 1)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        pytest.param({"bbox": [1, 2, float("nan"), 4]}, "finite", id="nan"),
        pytest.param({"bbox": [1, 2, -3, 4]}, "negative area", id="negative"),
        pytest.param({"bbox": [1, 2, 0, 4]}, "zero", id="no width"),
        pytest.param({"bbox": [1, 2, 3]}, "four numbers", id="three numbers"),
        pytest.param({"bbox": [1, 2, 3, "4"]}, "not a number", id="text"),
        pytest.param({"bbox": [1, 2, 3, 10**400]}, "beyond all range", id="huge"),
        pytest.param({"bbox": None}, "no bbox", id="segmentation only"),
        pytest.param({"iscrowd": 1}, "iscrowd", id="crowd"),
        pytest.param({"category_id": 99}, "category_id 99, which is none of the 2", id="unknown category"),
        pytest.param({}, "repeats", id="repeated"),
    ],
)
def test_coco_annotation_that_is_no_box(tmp_path: Path, changes: dict[str, object], reason: str) -> None:
    """A bad annotation is rejected with its id and reason; the good one beside it stays."""
    good = {"id": 5, "image_id": 1, "category_id": 7, "bbox": [10, 20, 30, 10]}
    coco_file(tmp_path / "a.json", annotations=[good, good | {"id": 6} | changes])
    put(tmp_path / "a.jpg")
    image = only(read("coco", tmp_path))
    assert len(image.boxes) == 1
    assert [reject.name for reject in image.rejected] == ["a.json annotation 6"]
    assert reason in image.rejected[0].reason


def test_coco_images_and_annotations_that_do_not_match(tmp_path: Path) -> None:
    """Missing, repeated, unlisted and outside images and annotations of no image all show, with every box counted."""
    names = ["a.jpg", "gone.jpg", "a.jpg", "../outside.jpg", "b.jpg", "c.jpg", "", "\ud800.jpg", "n" * 5000]
    ids = [1, 2, 3, 4, 5, 5, 6, 7, 8]
    boxes = [{"id": n, "image_id": n, "category_id": 7, "bbox": [1, 1, n, n]} for n in range(1, 10)]
    put(tmp_path / "outside.jpg")
    root = tmp_path / "source"
    coco_file(
        root / "a.json",
        images=[{"id": number, "file_name": name} for number, name in zip(ids, names, strict=True)] + [3],
        annotations=[*boxes, {"id": 10}, 4],
    )
    for name in ("a.jpg", "b.jpg", "c.jpg", "unlisted.jpg"):
        put(root / name)
    source = read("coco", root)
    reasons = sorted((image.name[:20], str(image.problem)[:40].strip(), len(image.boxes)) for image in source.images)
    assert reasons == [
        ("a.jpg", "None", 1),
        ("a.jpg", "listed a second time; a.json has it alre", 1),
        ("a.json images[3]", "file_name '../outside.jpg' leads out of", 1),
        ("a.json images[6]", "no file_name", 1),
        ("a.json images[7]", "file_name '\\ud800.jpg' leads out of the", 1),
        ("a.json images[9]", "no file_name", 0),
        ("b.jpg", "image id 5 is used twice; whose boxes ar", 1),
        ("c.jpg", "image id 5 is used twice; whose boxes ar", 0),
        ("gone.jpg", "the image file is missing", 1),
        ("n" * 20, "the image file is missing", 1),
        ("unlisted.jpg", "no annotation file lists this image", 0),
    ]
    assert [(reject.name, reject.reason) for reject in source.unused] == [
        ("a.json annotation 10", "no image_id"),
        ("a.json annotation 9", "image_id 9, which no image has"),
        ("a.json annotations[10]", "no image_id"),
    ]


def test_coco_classes_of_several_files(tmp_path: Path) -> None:
    """Classes are joined by name whatever their ids; Roboflow's empty parent category is left out."""
    parent = {"id": 0, "name": "animals", "supercategory": "none"}
    cat, dog = ({"id": n, "name": name, "supercategory": "animals"} for n, name in ((1, "cat"), (2, "dog")))
    coco_file(tmp_path / "annotations" / "instances_train.json", categories=[parent, dog, cat], annotations=[])
    coco_file(tmp_path / "annotations" / "instances_val.json", categories=[{"id": 7, "name": "eel"}, cat])
    coco_file(tmp_path / "annotations" / "captions_val.json")
    put(tmp_path / "train" / "a.jpg")
    put(tmp_path / "val" / "a.jpg")
    source = read("coco", tmp_path)
    assert source.classes == ("cat", "dog", "eel")
    assert [(image.name, image.split) for image in source.images] == [("train/a.jpg", "train"), ("val/a.jpg", "val")]
    assert source.images[1].boxes[0].class_name == "eel"
    assert [reject.name for reject in source.unused] == ["annotations/captions_val.json"]
    label = {"id": 1, "image_id": 1, "category_id": 0, "bbox": [1, 1, 2, 2]}
    coco_file(tmp_path / "annotations" / "instances_train.json", categories=[parent, cat], annotations=[label])
    assert read("coco", tmp_path).classes == ("animals", "cat", "eel")


def test_coco_image_in_two_splits(tmp_path: Path) -> None:
    """An image that two files list belongs to val before train; the other mention shows."""
    coco_file(tmp_path / "annotations" / "instances_train.json")
    coco_file(tmp_path / "annotations" / "instances_val.json")
    put(tmp_path / "images" / "a.jpg")
    found = [(image.split, image.problem) for image in read("coco", tmp_path).images]
    assert found == [("val", None), ("train", "listed a second time; annotations/instances_val.json has it already")]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        pytest.param('{"images": [\n  1 2]}', r"a.json line 2 column 5: Expecting ',' delimiter", id="malformed"),
        pytest.param(b"\xff\xfe\xff", "not JSON", id="no text"),
        pytest.param("[" * 100_000, "not JSON", id="deep"),
        pytest.param("9" * 5000, "not JSON", id="endless number"),
        pytest.param("[]", "holds list", id="list"),
        pytest.param('{"images": []}', "categories is NoneType", id="no categories"),
        pytest.param(
            '{"images": [], "annotations": [], "categories": [{"id": 1, "name": "a"}, {"id": 2, "name": "a"}]}',
            "'a' is there twice",
            id="name twice",
        ),
        pytest.param(
            '{"images": [], "annotations": [], "categories": [{"id": 1, "name": "a"}, {"id": 1, "name": "b"}]}',
            "share an id",
            id="id twice",
        ),
        pytest.param(
            '{"images": [], "annotations": [], "categories": [{"name": "a"}]}', "has no id", id="category without id"
        ),
        pytest.param(
            '{"images": [], "annotations": [], "categories": [{"id": 1, "name": "a"}]}', "no image found", id="empty"
        ),
    ],
)
def test_coco_refused(tmp_path: Path, content: str | bytes, reason: str) -> None:
    """A file that cannot be read as COCO is refused with the place and the reason."""
    put(tmp_path / "a.json", content)
    with pytest.raises(UserError, match=reason):
        read("coco", tmp_path)


def test_voc(tmp_path: Path) -> None:
    """Images, boxes in pixels, sizes and splits of a VOC folder are found."""
    files = {
        "JPEGImages/a b.jpg": "",
        "Annotations/a b.xml": annotation(box=(1.5, 2, 30, 40), filename="other.jpg"),
        "JPEGImages/b.jpg": "",
        "Annotations/b.xml": "<annotation><filename>b.jpg</filename></annotation>",
        "JPEGImages/c.jpg": "",
        "Annotations/c-labels.xml": annotation(name="ant", filename="C:\\work\\c.jpg"),
        "JPEGImages/d.jpg": "",
        "Annotations/d.xml": annotation(),
        "ImageSets/Main/train.txt": "a b\n",
        "ImageSets/Main/trainval.txt": "a b\nb\n",
        "ImageSets/Main/test.txt": "c\n\ngone\n",
    }
    source = read("voc", voc_source(tmp_path / "voc", files))
    assert not problems(source)
    assert source.classes == ("ant", "cat")
    assert [(image.name, image.split, image.size, len(image.boxes)) for image in source.images] == [
        ("JPEGImages/a b.jpg", "train", (100, 50), 1),
        ("JPEGImages/b.jpg", "train", None, 0),
        ("JPEGImages/c.jpg", "test", (100, 50), 1),
        ("JPEGImages/d.jpg", None, (100, 50), 1),
    ]
    assert source.images[0].boxes == (
        SourceBox(class_name="cat", corners=(1.5, 2, 30, 40), unit="pixels", where="Annotations/a b.xml object 1"),
    )
    assert [reject.name for reject in source.unused] == ["ImageSets/Main/test.txt line 3"]


def test_voc_files_that_do_not_match(tmp_path: Path) -> None:
    """Images and annotations without each other, twins, and an image in two lists all show."""
    files = {
        "JPEGImages/lone.jpg": "",
        "JPEGImages/twin.jpg": "",
        "JPEGImages/twin.png": "",
        "Annotations/twin.xml": annotation(),
        "Annotations/orphan.xml": annotation(filename="gone.jpg"),
        "Annotations/thief.xml": annotation(filename="twin.jpg"),
        "JPEGImages/both.jpg": "",
        "Annotations/both.xml": annotation(),
        "ImageSets/Main/train.txt": "both",
        "ImageSets/Main/test.txt": "both",
    }
    source = read("voc", voc_source(tmp_path / "voc", files))
    assert problems(source) == {
        "JPEGImages/both.jpg": "listed in train and in test; an image belongs to one split",
        "JPEGImages/lone.jpg": "no annotation file; an image without objects has one without objects",
        "JPEGImages/twin.png": "shares its stem with JPEGImages/twin.jpg; rename one of them",
    }
    assert [(reject.name, reject.reason) for reject in source.unused] == [
        ("Annotations/orphan.xml", "annotation without an image"),
        ("Annotations/thief.xml", "annotation without an image; JPEGImages/twin.jpg has an annotation already"),
    ]


BOMB = '<!DOCTYPE a [<!ENTITY x "ha"><!ENTITY y "&x;&x;&x;">]>' + annotation(name="&y;")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        pytest.param(BOMB, "declares a DOCTYPE or an ENTITY", id="entity bomb"),
        pytest.param(BOMB.encode("utf-16"), "NUL bytes", id="entity bomb in utf-16"),
        pytest.param(annotation(name="&y;"), "undefined entity", id="undeclared entity"),
        pytest.param("<annotation><object>", "malformed XML", id="malformed"),
        pytest.param("", "malformed XML", id="empty"),
        pytest.param('<?xml version="1.0" encoding="none"?><a/>', "malformed XML", id="unknown encoding"),
    ],
)
def test_voc_annotation_that_is_not_read(tmp_path: Path, content: str | bytes, reason: str) -> None:
    """An annotation that is no XML, or declares entities, is a problem of its image."""
    root = voc_source(tmp_path / "voc", {"JPEGImages/a.jpg": ""})
    put(root / "Annotations" / "a.xml", content)
    assert reason in str(only(read("voc", root)).problem)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        pytest.param(annotation(box=("nan", 2, 30, 40)), "finite", id="nan"),
        pytest.param(annotation(box=(30, 2, 1, 40)), "negative area", id="negative"),
        pytest.param(annotation(box=(0, 0, 0, 0)), "zero", id="no area"),
        pytest.param(annotation(box=("", 2, 30, 40)), "xmin ''", id="empty"),
        pytest.param(annotation(name=" "), "without a name", id="no name"),
        pytest.param("<a><object><name>cat</name></object></a>", "without bndbox/xmin", id="no box"),
        pytest.param(annotation().replace("xmin", "left"), "without bndbox/xmin", id="other tag"),
    ],
)
def test_voc_object_that_is_no_box(tmp_path: Path, content: str, reason: str) -> None:
    """A bad object is rejected with its number and reason."""
    image = only(read("voc", voc_source(tmp_path / "v", {"JPEGImages/a.jpg": "", "Annotations/a.xml": content})))
    assert (image.boxes, image.problem) == ((), None)
    assert [reject.name for reject in image.rejected] == ["Annotations/a.xml object 1"]
    assert reason in image.rejected[0].reason


@pytest.mark.parametrize("kind", sorted(READERS))
def test_sources_without_images(tmp_path: Path, kind: str) -> None:
    """A path that does not exist and a folder without images are refused by each reader."""
    with pytest.raises(UserError, match="does not exist"):
        read(kind, tmp_path / "gone")
    (tmp_path / "Annotations").mkdir()
    (tmp_path / "JPEGImages").mkdir()
    with pytest.raises(UserError, match=r"no image found|no JSON file|0 YAML files"):
        read(kind, tmp_path)


def test_unknown_kind(tmp_path: Path) -> None:
    """An unknown kind is refused with the known ones."""
    with pytest.raises(UserError, match="'kitti', wanted one of coco, voc, yolo"):
        read("kitti", tmp_path)


def test_to_box_in_pixels() -> None:
    """Pixel corners become fractions of the image; a little outside is cut off, more is refused."""
    found = SourceBox(class_name="cat", corners=(-1, 10, 50, 40), unit="pixels", where="object 1")
    box = to_box(found, class_id=2, width=100, height=50, tolerance=0.01)
    assert box == labels.Box(class_id=2, x=0.25, y=0.5, width=0.5, height=0.6)
    with pytest.raises(ValueError, match="outside the frame"):
        to_box(found, class_id=2, width=100, height=50, tolerance=0.005)


@pytest.mark.skipif(not BCCD.is_dir(), reason="BCCD is not in ../shared/data/bccd")
def test_bccd() -> None:
    """All 364 images and 4,888 boxes of BCCD are found; two boxes have no area."""
    source = read("voc", BCCD)
    assert source.classes == ("Platelets", "RBC", "WBC")
    assert len(source.images) == 364
    assert not problems(source)
    assert not source.unused
    rejected = [reject for image in source.images for reject in image.rejected]
    assert sum(len(image.boxes) for image in source.images) + len(rejected) == 4888
    assert [reject.name for reject in rejected] == [
        "Annotations/BloodImage_00338.xml object 13",
        "Annotations/BloodImage_00343.xml object 4",
    ]
    splits = [image.split for image in source.images]
    assert {split: splits.count(split) for split in set(splits)} == {"train": 205, "val": 87, "test": 72}
