"""``tailwatch ledger``: what people are told of the record of their decisions."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from pipeline import ledgers
from pipeline.cli import main
from pipeline.core import corrections, deciding, files, images, ledger, manifest, paths
from pipeline.core.errors import UserError
from pipeline.core.ledger import Decision, Entry
from pipeline.core.paths import RunPaths
from tests.builders import box, picture, row, sha, synthetic_row
from tests.project import ROOT

HERE, THERE = row("here"), row("there", path="data/real/images/there.png")
MADE = synthetic_row("made")


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two real images, accepted as an import, and a synthetic one; a run that trained on one of each."""
    monkeypatch.chdir(tmp_path)
    shutil.copy(ROOT / "params.yaml", tmp_path)
    manifest.write(paths.REAL_MANIFEST, [HERE, THERE])
    files.write_json(paths.REAL_CLASSES, ["cell", "dot"])
    manifest.write(RunPaths("guarded-1").synthetic_manifest, [MADE])
    manifest.write(RunPaths("guarded-1").mix_manifest, [HERE, MADE])
    for seed, one in enumerate((HERE, THERE, MADE)):
        files.write_bytes(Path(one.path), images.encode_png(picture(seed)))
    items = [(one.image_id, one.label_digest) for one in (HERE, THERE)]
    digest = ledger.list_digest(items)
    files.write_text(ledger.list_path(paths.IMPORTS, digest), ledger.format_list(items))
    add("accept-import", digest, "", reviewer="Imp", reason="a colleague's dataset")
    return tmp_path


def add(
    decision: Decision, image_id: str, label_digest: str, *, reviewer: str = "Ada", reason: str = "", times: int = 1
) -> Entry:
    """Append decisions."""
    for _ in range(times):
        entry = ledger.append(
            paths.LEDGER, decision, image_id=image_id, label_digest=label_digest, reviewer=reviewer, reason=reason,
            lock=paths.LEDGER_LOCK,
        )  # fmt: skip
    return entry


def tailwatch(*arguments: str) -> Result:
    """Run a command of ``tailwatch ledger``."""
    return CliRunner().invoke(main, ["ledger", *arguments])


def lines(done: Result) -> list[str]:
    """What a command that went well printed."""
    assert done.exit_code == 0, done.output
    return done.output.splitlines()


def hold_back(reviewer: str) -> None:
    """Let a reviewer take ten broken plants for right."""
    add("control-wrong", THERE.image_id, sha("broken"), reviewer=reviewer, times=10)


def test_check(project: Path) -> None:
    """A whole ledger gives exit code 0 and its number of rows; what git does not have is said."""
    done = tailwatch("check")
    assert lines(done)[0] == "data/ledger.csv: 1 row, all in order"
    assert "git has no committed ledger.csv" in lines(done)[1]
    author = ["-c", "user.name=a tester", "-c", "user.email=tester@localhost"]
    for command in (["init", "-q"], ["add", "data/ledger.csv"], ["commit", "-q", "-m", "a ledger"]):
        subprocess.run(["git", *author, *command], check=True)
    assert lines(tailwatch("check")) == ["data/ledger.csv: 1 row, all in order"]
    add("accept", HERE.image_id, HERE.label_digest)
    assert lines(tailwatch("check"))[1:] == ["note: 1 row not committed yet: commit data/ledger.csv."]


def test_check_finds_all(project: Path) -> None:
    """Every problem is printed, with exit code 1, and nothing is changed."""
    deciding.decide("accept", HERE.image_id, HERE.label_digest, reviewer="Ada")
    correction = deciding.correct(THERE.image_id, [box()], reviewer="Ada")
    corrections.path(paths.CORRECTIONS, correction.label_digest).unlink()
    next(paths.IMPORTS.glob("*.txt")).write_text("")
    paths.LEDGER.write_text(paths.LEDGER.read_text().replace("Ada", "Bob", 1))
    before = paths.LEDGER.read_bytes()
    done = tailwatch("check")
    assert done.exit_code == 1
    problems = [line for line in done.output.splitlines() if line.startswith("problem: ")]
    assert ["was edited" in line for line in problems] == [True, True, False]
    assert problems[0].startswith("problem: row 2 (")
    assert problems[2].startswith("problem: data/corrections/")
    assert "3 problems" in done.output
    assert paths.LEDGER.read_bytes() == before


def test_check_of_nothing() -> None:
    """Without a ledger there is one message and exit code 1."""
    paths.LEDGER.unlink()
    done = tailwatch("check")
    assert (done.exit_code, done.stderr.count("\n")) == (1, 1)
    assert "data/ledger.csv is missing" in done.stderr


def test_log_of_an_import() -> None:
    """An image that was accepted as part of an import says so."""
    said = lines(tailwatch("log", "there"))
    assert said[0] == "there (data/real/images/there.png), real"
    assert said[1] == f"image {THERE.image_id}"
    assert said[2].startswith("verified since 20")
    assert said[2].endswith(f"labels {THERE.label_digest[:12]} (the source's: data/real/labels/there.txt)")
    assert said[4] == "decisions:"
    assert said[5].startswith("  row 1 ")
    assert said[5].endswith(f"Imp  accept-import  labels {THERE.label_digest[:12]}: a colleague's dataset")
    assert len(said) == 6  # no run trained on it


@pytest.mark.parametrize(
    "name",
    [
        HERE.image_id,
        HERE.image_id[:4],
        HERE.name,
        HERE.path,
        f"./{HERE.path}",
        "data/verified/images/here.png",
    ],
    ids=["id", "beginning of the id", "name", "path", "path with a dot", "path of its corrected labels"],
)
def test_ways_to_name_an_image(name: str) -> None:
    """An image is found by its id, a beginning of it, its name or its paths."""
    manifest.write(paths.VERIFIED_MANIFEST, [row("here", path="data/verified/images/here.png"), THERE])
    assert lines(tailwatch("log", name))[1] == f"image {HERE.image_id}"
    assert lines(tailwatch("log", str(Path(HERE.path).absolute())))[1] == f"image {HERE.image_id}"


@pytest.mark.parametrize("name", ["", "abc", "nobody", sha("nobody"), "zzzz", "😀" * 200])
def test_no_such_image(name: str) -> None:
    """What names no image is refused, and the message says what would."""
    done = tailwatch("log", "--", name)
    assert done.exit_code == 1
    assert "there is no image" in done.stderr
    assert "wanted an image id, at least 4 digits of its beginning, or the name or path" in done.stderr


def test_two_images_of_one_name() -> None:
    """A name or a beginning that several images share is refused, with their ids."""
    twins = [row(str(number), name="twin") for number in range(2)]
    manifest.write(paths.REAL_MANIFEST, twins)
    done = tailwatch("log", "twin")
    assert done.exit_code == 1
    assert "'twin' means 2 images" in done.stderr
    assert all(one.image_id in done.stderr for one in twins)
    shared = "0123"
    manifest.write(
        paths.REAL_MANIFEST, [row("x", image_id=shared + sha("x")[4:]), row("y", image_id=shared + "0" * 60)]
    )
    assert "'0123' means 2 images" in tailwatch("log", shared).stderr
    assert lines(tailwatch("log", shared + sha("x")[4:10]))[0].startswith("x ")


def test_log_of_a_corrected_image() -> None:
    """Each version of the labels, where it is kept, who decided what, and which runs took labels that hold no more."""
    deciding.decide("reject", HERE.image_id, HERE.label_digest, reviewer="Bob", reason="a box is missing")
    deciding.undo("Bob")
    new = deciding.correct(HERE.image_id, [box(1)], reviewer="Ada", reason="the box\nwas missing").label_digest
    said = lines(tailwatch("log", "here"))
    assert said[2].endswith(f"labels {new[:12]} (data/corrections/{new}.txt)")
    assert [line.split("  ")[3:] for line in said[5:9]] == [
        ["Imp", "accept-import", f"labels {HERE.label_digest[:12]}: a colleague's dataset"],
        ["Bob", "reject", f"labels {HERE.label_digest[:12]} (taken back): a box is missing"],
        ["Bob", "undo", f"labels {HERE.label_digest[:12]}"],
        ["Ada", "relabel", f"labels {new[:12]}: the box\\nwas missing"],
    ]
    assert said[-2:] == [
        "runs that trained on it:",
        f"  guarded-1: labels {HERE.label_digest[:12]}, which do not hold now",
    ]
    deciding.undo("Ada")
    assert lines(tailwatch("log", "here"))[-1] == f"  guarded-1: labels {HERE.label_digest[:12]}"


def test_log_of_a_synthetic_image() -> None:
    """A synthetic image that a person rejected, with the run that trained on it."""
    assert lines(tailwatch("log", "made"))[2:] == [
        "nobody has decided on it",
        "",
        "runs that trained on it:",
        f"  guarded-1: labels {MADE.label_digest[:12]}",
    ]
    deciding.decide("reject", MADE.image_id, MADE.label_digest, reviewer="Ada", reason="no such thing")
    said = lines(tailwatch("log", "made"))
    assert said[0].endswith(", synthetic")
    assert said[2].startswith("rejected since ")
    assert said[-1].endswith("which do not hold now")


def test_log_of_an_image_that_is_gone() -> None:
    """The decisions on an image stay after it left the dataset."""
    deciding.decide("accept", HERE.image_id, HERE.label_digest, reviewer="Ada")
    manifest.write(paths.REAL_MANIFEST, [THERE])
    said = lines(tailwatch("log", HERE.image_id[:10]))
    assert said[0] == "not in the dataset now"
    assert sum("  accept  " in line for line in said) == 1


def test_conflicts() -> None:
    """Images on which people disagree are listed with what each said, until a third person decides."""
    assert lines(tailwatch("conflicts")) == ["No image is in conflict."]
    deciding.decide("accept", HERE.image_id, HERE.label_digest, reviewer="Ada")
    deciding.decide("reject", HERE.image_id, HERE.label_digest, reviewer="Bob", reason="blurred")
    deciding.decide("accept", MADE.image_id, MADE.label_digest, reviewer="Bob")
    deciding.decide("reject", MADE.image_id, MADE.label_digest, reviewer="Ada", reason="no such thing")
    said = lines(tailwatch("conflicts"))
    assert [said[0], said[3]] == [f"here  {HERE.image_id}", f"synthetic  {MADE.image_id}"]
    assert "  Ada  accept  " in said[1]
    assert "  Bob  reject  " in said[2]
    assert said[2].endswith(": blurred")
    assert said[-1].startswith("2 images in conflict: another person's decision resolves each")
    deciding.decide("accept", HERE.image_id, HERE.label_digest, reviewer="Cy")
    said = lines(tailwatch("conflicts"))
    assert said[0] == f"synthetic  {MADE.image_id}"
    assert said[-1].startswith("1 image in conflict")


def test_release() -> None:
    """Who is held back is named, and counts again after another person has looked."""
    hold_back("Bob")
    deciding.decide("reject", HERE.image_id, HERE.label_digest, reviewer="Bob", reason="blurred")
    assert lines(tailwatch("log", "here"))[2].startswith("verified")
    assert "labels" in lines(tailwatch("log", "here"))[6]
    assert "(held back): blurred" in lines(tailwatch("log", "here"))[6]
    assert any(line.startswith("Bob is held back since ") for line in lines(tailwatch("conflicts")))
    done = tailwatch("release", "Bob", "--reviewer", "Ada", "--reason", "looked at all: right")
    assert "Bob's decisions up to " in lines(done)[0]
    entry = ledger.read(paths.LEDGER)[-1]
    assert (entry.decision, entry.reviewer, entry.reason) == ("release", "Ada", "Bob: looked at all: right")
    assert (entry.image_id, entry.label_digest) == ("", "")
    assert lines(tailwatch("log", "here"))[2].startswith("rejected")
    assert lines(tailwatch("conflicts")) == ["No image is in conflict."]


@pytest.mark.parametrize(
    ("name", "reviewer", "reason", "message"),
    [
        pytest.param("Bob", "Bob", "right", "Bob cannot release their own decisions", id="oneself"),
        pytest.param("Bob", " bob ", "right", "cannot release their own decisions", id="oneself in other letters"),
        pytest.param("Bob", "Ada", " ", "a release needs a reason", id="no reason"),
        pytest.param("Bob", "", "right", "a decision needs a reviewer", id="no reviewer"),
        pytest.param("Cy", "Ada", "right", "'Cy' is not held back; held back: Bob.", id="not held back"),
        pytest.param("Bob", "Ada", "x" * 100_000, "characters, wanted at most", id="long reason"),
    ],
)
def test_no_release(name: str, reviewer: str, reason: str, message: str) -> None:
    """A release by nobody, by oneself, without a reason, or of somebody who is not held back is refused."""
    hold_back("Bob")
    before = paths.LEDGER.read_bytes()
    with pytest.raises(UserError, match=message):
        ledgers.release(name, reviewer=reviewer, reason=reason)
    assert paths.LEDGER.read_bytes() == before


@pytest.mark.parametrize(
    "command", [["log", "here"], ["conflicts"], ["release", "Bob", "--reviewer", "A", "--reason", "x"]]
)
def test_broken_ledger(command: list[str]) -> None:
    """Nothing is said of a broken ledger but that it is broken, and what says more."""
    paths.LEDGER.write_text(paths.LEDGER.read_text().replace("Imp", "Ada"))
    done = tailwatch(*command)
    assert done.exit_code == 1
    assert "row 1" in done.stderr
    assert "`uv run tailwatch ledger check` says all that is wrong" in done.stderr


def accepted(reviewer: str, digest: str = HERE.label_digest) -> None:
    """A reviewer accepts the image with these labels."""
    deciding.decide("accept", HERE.image_id, digest, reviewer=reviewer)


def rejected(reviewer: str) -> None:
    """A reviewer rejects the image with the source's labels."""
    deciding.decide("reject", HERE.image_id, HERE.label_digest, reviewer=reviewer, reason="blurred")


def corrected(reviewer: str) -> str:
    """A reviewer corrects the labels; returns the digest of the new ones."""
    return deciding.correct(HERE.image_id, [box(1)], reviewer=reviewer).label_digest


def relabelled_at_the_source() -> None:
    """The source gives the image other labels."""
    manifest.write(paths.REAL_MANIFEST, [row("here", label_digest=sha("others")), THERE])


# The examples of docs/ledger.md, by their first column.
EXAMPLES: dict[str, list[Callable[[], object]]] = {
    "import lists it": [],
    "import lists it; Ada rejects": [lambda: rejected("Ada")],
    "Ada accepts; Bob rejects": [lambda: accepted("Ada"), lambda: rejected("Bob")],
    "Ada accepts; Bob rejects; Cy accepts": [
        lambda: accepted("Ada"), lambda: rejected("Bob"), lambda: accepted("Cy"),
    ],
    "import lists it; Ada corrects the labels": [lambda: corrected("Ada")],
    "Ada corrects the labels; Bob accepts the old ones": [lambda: accepted("Bob"), lambda: corrected("Ada")],
    "Ada corrects the labels; Bob accepts Ada's": [lambda: accepted("Bob", corrected("Ada"))],
    "Ada accepts; then the source's labels change": [lambda: accepted("Ada"), relabelled_at_the_source],
    "Ada accepts, then undoes it": [lambda: accepted("Ada"), lambda: deciding.undo("Ada")],
}  # fmt: skip


def documented() -> dict[str, str]:
    """The examples in the docs: decisions, and what they come to."""
    text = (ROOT / "docs/ledger.md").read_text()
    table = text.split("| decisions on one image, in any order | standing |\n|---|---|\n")[1].split("\n\n")[0]
    cells = [line.strip("| ").split(" | ") for line in table.splitlines()]
    return {example: standing for example, standing in cells}  # noqa: C416 - says that there are two


@pytest.mark.parametrize("example", EXAMPLES)
def test_examples_of_the_docs(example: str) -> None:
    """What the docs say that decisions come to is what they come to."""
    assert documented().keys() == EXAMPLES.keys()
    if example == "Ada accepts, then undoes it":
        before = lines(tailwatch("log", "here"))[2]
        for step in EXAMPLES[example]:
            step()
        assert lines(tailwatch("log", "here"))[2] == before
        return
    if not example.startswith("import"):
        paths.LEDGER.unlink()
    for step in EXAMPLES[example]:
        step()
    stands = lines(tailwatch("log", "here"))[2]
    expected = documented()[example]
    assert stands.removeprefix("in ").startswith(expected.split(",")[0])
    if expected.startswith("verified"):
        assert ("data/corrections/" in stands) == ("with Ada's labels" in expected)
