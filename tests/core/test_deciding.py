"""What a person decides is checked before it is in the ledger, and what is refused leaves no trace."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.core import corrections, deciding, impostors, labels, ledger, manifest, paths, plants, standing
from pipeline.core.errors import UserError
from pipeline.core.labels import Box
from pipeline.core.manifest import Row
from pipeline.core.paths import RunPaths
from pipeline.core.plants import Plant
from tests.builders import row, sha, synthetic_row
from tests.project import ROOT

REAL, MADE = row("page"), synthetic_row("made")
BOX = Box(class_id=1, x=0.5, y=0.5, width=0.2, height=0.2)
BROKEN = Plant(image_id=REAL.image_id, label_digest=labels.digest([BOX]), breakage="left out", boxes=(BOX,))


@pytest.fixture(autouse=True)
def screened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Row]:
    """A project with a real image, and a synthetic one made from it.

    Gives the rows that are held against the synthetic images when they are accepted.
    """
    rows: list[Row] = []
    monkeypatch.setattr(impostors, "require_real", rows.extend)
    monkeypatch.chdir(tmp_path)
    shutil.copy(ROOT / "params.yaml", tmp_path)
    manifest.write(paths.REAL_MANIFEST, [REAL, row("other page")])
    paths.REAL_CLASSES.write_text(json.dumps(["cell", "platelet"]))
    manifest.write(RunPaths("guarded-1").synthetic_manifest, [MADE])
    return rows


def decisions() -> list[str]:
    """The kinds of the ledger's rows."""
    return [entry.decision for entry in ledger.read(paths.LEDGER)] if paths.LEDGER.exists() else []


def state() -> tuple[str, str]:
    """State and label digest of the real image."""
    items = [(REAL.image_id, REAL.label_digest)]
    rows = ledger.read(paths.LEDGER)
    found = standing.standings(rows, items, paths.IMPORTS, paths.CORRECTIONS, min_agreement=0.8)[REAL.image_id]
    return found.state, found.label_digest


def test_accept() -> None:
    """An acceptance is in the ledger with image, labels and reviewer, and the image is verified."""
    entry = deciding.decide("accept", REAL.image_id, REAL.label_digest, reviewer=" Ada ")
    assert ledger.read(paths.LEDGER) == [entry]
    assert (entry.decision, entry.image_id, entry.label_digest, entry.reviewer) == (
        "accept", REAL.image_id, REAL.label_digest, "Ada",
    )  # fmt: skip
    assert state() == ("verified", REAL.label_digest)


@pytest.mark.parametrize(
    "decision",
    [
        pytest.param(lambda: deciding.decide("accept", REAL.image_id, REAL.label_digest, reviewer="Ada"), id="accept"),
        pytest.param(lambda: deciding.correct(REAL.image_id, [BOX], reviewer="Ada"), id="correct"),
    ],
)
def test_a_copy_of_a_synthetic_image(decision: Callable[[], object], monkeypatch: pytest.MonkeyPatch) -> None:
    """What is found to be a copy of a synthetic image is accepted in no way, and no correction of it is kept."""

    def refuse(_: object) -> None:
        raise UserError("page is a copy of a synthetic image")

    monkeypatch.setattr(impostors, "require_real", refuse)
    with pytest.raises(UserError, match="is a copy of a synthetic image"):
        decision()
    assert decisions() == []
    assert not paths.CORRECTIONS.exists()


def test_what_is_held_against_synthetic_images(screened: list[Row]) -> None:
    """A real image is, when it comes to be verified; what is rejected, synthetic, or verified already is not again."""
    deciding.decide("reject", REAL.image_id, REAL.label_digest, reviewer="Ada", reason="blurred")
    deciding.decide("accept", MADE.image_id, MADE.label_digest, reviewer="Ada")
    assert screened == []
    deciding.decide("accept", REAL.image_id, REAL.label_digest, reviewer="Ada")
    assert screened == [REAL]
    deciding.decide("accept", REAL.image_id, REAL.label_digest, reviewer="Bob")
    deciding.correct(REAL.image_id, [BOX], reviewer="Cy")
    assert screened == [REAL]


def test_reject() -> None:
    """A rejection is kept with its reason."""
    assert deciding.decide("reject", REAL.image_id, REAL.label_digest, reviewer="Ada", reason="blurred").reason == (
        "blurred"
    )
    assert state()[0] == "rejected"


@pytest.mark.parametrize("reason", ["", "  \n"], ids=["none", "blanks"])
def test_a_rejection_needs_a_reason(reason: str) -> None:
    """Nobody can learn from a rejection without a reason."""
    with pytest.raises(UserError, match="a rejection needs a reason"):
        deciding.decide("reject", REAL.image_id, REAL.label_digest, reviewer="Ada", reason=reason)
    assert decisions() == []


def test_correct() -> None:
    """A correction keeps the new labels by their digest, verifies the image with them, and takes nothing away."""
    entry = deciding.correct(REAL.image_id, [BOX], reviewer="Ada", reason="it was a platelet")
    assert (entry.decision, entry.label_digest) == ("relabel", labels.digest([BOX]))
    assert corrections.read(paths.CORRECTIONS, entry.label_digest) == [BOX]
    assert state() == ("verified", entry.label_digest)
    # Another can accept the correction, or come back to the source's labels.
    deciding.decide("accept", REAL.image_id, entry.label_digest, reviewer="Bob")
    deciding.decide("accept", REAL.image_id, REAL.label_digest, reviewer="Cy")
    assert state() == ("verified", entry.label_digest)


def test_an_image_without_objects() -> None:
    """Taking all boxes away is a correction: the image is background."""
    entry = deciding.correct(REAL.image_id, [], reviewer="Ada")
    assert corrections.read(paths.CORRECTIONS, entry.label_digest) == []


def test_undo() -> None:
    """Undo takes back the newest decision of the same reviewer, then the one before, and nobody else's."""
    deciding.decide("accept", REAL.image_id, REAL.label_digest, reviewer="Ada")
    corrected = deciding.correct(REAL.image_id, [BOX], reviewer="Ada")
    deciding.decide("accept", MADE.image_id, MADE.label_digest, reviewer="Bob")
    entry = deciding.undo("Ada")
    assert (entry.decision, entry.image_id, entry.label_digest) == ("undo", REAL.image_id, corrected.label_digest)
    assert state() == ("verified", REAL.label_digest)
    deciding.undo("Ada")
    assert state()[0] == "awaiting"
    with pytest.raises(UserError, match="Ada has no decision to take back"):
        deciding.undo("Ada")
    assert decisions().count("undo") == 2


def test_undo_without_a_ledger() -> None:
    """Where nobody decided anything, there is nothing to take back."""
    with pytest.raises(UserError, match="Ada has no decision to take back"):
        deciding.undo("Ada")


def test_synthetic() -> None:
    """A synthetic image is accepted or rejected; its labels cannot be corrected."""
    deciding.decide("accept", MADE.image_id, MADE.label_digest, reviewer="Ada")
    deciding.decide("reject", MADE.image_id, MADE.label_digest, reviewer="Bob", reason="no such cell")
    with pytest.raises(UserError, match=r"is synthetic: its labels cannot be corrected\. Accept it, or reject it"):
        deciding.correct(MADE.image_id, [BOX], reviewer="Ada")
    assert decisions() == ["accept", "reject"]
    assert not paths.CORRECTIONS.exists()


@pytest.mark.parametrize(
    ("answer", "decision"),
    [
        pytest.param(
            lambda: deciding.decide("accept", REAL.image_id, BROKEN.label_digest, reviewer="Ada"),
            "control-wrong", id="accepted",
        ),
        pytest.param(
            lambda: deciding.decide("reject", REAL.image_id, BROKEN.label_digest, reviewer="Ada", reason="shifted"),
            "control-right", id="rejected",
        ),
        pytest.param(
            lambda: deciding.correct(REAL.image_id, [], reviewer="Ada", shown=BROKEN.label_digest),
            "control-right", id="corrected",
        ),
    ],
)  # fmt: skip
def test_plant(answer: Callable[[], object], decision: str) -> None:
    """The answer to planted labels says something about the reviewer; the image's standing stays as it was."""
    deciding.decide("accept", REAL.image_id, REAL.label_digest, reviewer="Bob")
    before = state()
    plants.keep(paths.PLANTS, [BROKEN])
    answer()
    assert decisions() == ["accept", decision]
    assert ledger.read(paths.LEDGER)[-1].label_digest == BROKEN.label_digest
    assert state() == before
    assert deciding.undo("Ada").label_digest == BROKEN.label_digest


def test_a_correction_of_a_planted_image_says_of_what() -> None:
    """While an image is planted, a correction that does not say what was shown could be of either: it is refused."""
    plants.keep(paths.PLANTS, [BROKEN])
    with pytest.raises(UserError, match=r"several versions of its labels: say by their digest \(`shown`\)"):
        deciding.correct(REAL.image_id, [], reviewer="Ada")
    assert decisions() == []


def test_plant_beside_the_image_itself() -> None:
    """While an image is planted with broken labels, decisions on its own labels are votes as ever."""
    plants.keep(paths.PLANTS, [BROKEN])
    deciding.decide("accept", REAL.image_id, REAL.label_digest, reviewer="Ada")
    deciding.correct(REAL.image_id, [], reviewer="Bob", shown=REAL.label_digest)
    assert decisions() == ["accept", "relabel"]


@pytest.mark.parametrize(
    ("refused", "message"),
    [
        pytest.param(
            lambda: deciding.decide("accept", REAL.image_id, REAL.label_digest, reviewer=" \n"),
            "a decision needs a reviewer", id="no reviewer",
        ),
        pytest.param(
            lambda: deciding.decide("accept", REAL.image_id, REAL.label_digest, reviewer="A\nB"),
            "wanted a name of at most 200 characters on one line", id="reviewer of two lines",
        ),
        pytest.param(
            lambda: deciding.decide("accept", REAL.image_id, REAL.label_digest, reviewer="=cmd()"),
            "does not begin with =", id="reviewer that is a formula",
        ),
        pytest.param(
            lambda: deciding.decide("accept", sha("nowhere"), REAL.label_digest, reviewer="Ada"),
            r"there is no image .* It may have left the dataset: run `uv run tailwatch review", id="unknown image",
        ),
        pytest.param(
            lambda: deciding.correct(sha("nowhere"), [BOX], reviewer="Ada"), "there is no image", id="correct unknown",
        ),
        pytest.param(
            lambda: deciding.decide("accept", "", REAL.label_digest, reviewer="Ada"), "there is no image", id="no image"
        ),
        pytest.param(
            lambda: deciding.decide("accept", REAL.image_id, sha("older"), reviewer="Ada"),
            r"page \(.*\) no longer has the labels that were shown .*look at it again", id="labels changed",
        ),
        pytest.param(
            lambda: deciding.correct(REAL.image_id, [BOX], reviewer="Ada", shown=sha("older")),
            "no longer has the labels that were shown", id="labels changed before they were corrected",
        ),
        pytest.param(
            lambda: deciding.decide("accept", MADE.image_id, REAL.label_digest, reviewer="Ada"),
            "was generated anew", id="synthetic labels changed",
        ),
        pytest.param(
            lambda: deciding.decide("accept", REAL.image_id, REAL.label_digest, reviewer="Ada", reason="x" * 100_000),
            "the reason has 100,000 characters, wanted at most 2,000", id="reason too long",
        ),
        pytest.param(
            lambda: deciding.correct(REAL.image_id, [Box(class_id=2, x=0.5, y=0.5, width=0.1, height=0.1)],
                                     reviewer="Ada"),
            "box 1 of page: class id 2, wanted 0 to 1", id="unknown class",
        ),
        pytest.param(
            lambda: deciding.correct(REAL.image_id, [BOX, BOX], reviewer="Ada"), "the same box twice", id="box twice"
        ),
        pytest.param(
            lambda: deciding.correct(REAL.image_id, [Box(class_id=0, x=0.5, y=0.5, width=1e-9, height=0.1)],
                                     reviewer="Ada"),
            "box 1 of page: box of zero or negative area", id="box too thin",
        ),
    ],
)  # fmt: skip
def test_refused(refused: Callable[[], object], message: str) -> None:
    """What cannot be decided is an error that says why, and nothing is in the ledger."""
    with pytest.raises(UserError, match=message):
        refused()
    assert decisions() == []


def test_a_correction_that_corrects_nothing() -> None:
    """Labels that are as they were shown are accepted, not corrected."""
    first = deciding.correct(REAL.image_id, [BOX], reviewer="Ada")
    with pytest.raises(UserError, match="as they were shown; accept them"):
        deciding.correct(REAL.image_id, [BOX], reviewer="Bob", shown=first.label_digest)
    assert decisions() == ["relabel"]


def test_a_correction_that_is_gone_cannot_be_accepted() -> None:
    """Corrected labels whose file is missing are no version that anyone could have seen."""
    entry = deciding.correct(REAL.image_id, [BOX], reviewer="Ada")
    corrections.path(paths.CORRECTIONS, entry.label_digest).unlink()
    with pytest.raises(UserError, match="no longer has the labels"):
        deciding.decide("accept", REAL.image_id, entry.label_digest, reviewer="Bob")


@pytest.mark.parametrize(
    ("reason", "kept"),
    [
        ("two\nlines", r"two\nlines"),
        ("two\r\nlines\x00\x1b[31m", r"two\r\nlines\x00\x1b[31m"),
        ("para\u2029graph", r"para\u2029graph"),
        ("\u202eturned", r"\u202eturned"),
        ("=cmd|' /C calc'!A0", "'=cmd|' /C calc'!A0"),
        ("+1", "'+1"),
        ("-1", "'-1"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("\t=1", r"'\t=1"),
        ('one, "two"; naïve ☃ 数字', 'one, "two"; naïve ☃ 数字'),
        ("caf\udce9", r"caf\udce9"),
    ],
    ids=ascii,
)
def test_reasons(reason: str, kept: str) -> None:
    """A reason is kept on one line, readable, and as text that no spreadsheet takes for a formula."""
    entry = deciding.decide("reject", REAL.image_id, REAL.label_digest, reviewer="Ada", reason=reason)
    assert entry.reason == kept
    assert ledger.read(paths.LEDGER) == [entry]
    with paths.LEDGER.open(newline="") as file:
        assert [line["reason"] for line in csv.DictReader(file)] == [kept]
    assert len(paths.LEDGER.read_text().splitlines()) == 2


def test_longest_reason() -> None:
    """2,000 characters are kept, of whatever kind."""
    entry = deciding.decide("reject", REAL.image_id, REAL.label_digest, reviewer="Ada", reason="\x00" * 2_000)
    assert len(entry.reason) == 8_000
