"""What holds for an image follows from what people said of it, never from who came first."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from pipeline.core import corrections, files, ledger, paths, standing, votes
from pipeline.core.errors import UserError
from pipeline.core.ledger import Decision, Entry
from pipeline.core.standing import Standing
from tests.builders import row, sha
from tests.ledger_builders import FIXED, OTHER, SOURCE, A, B, entry, release, timed

PEOPLE = ("Ada", "Bob", "Cy")
GONE = sha("labels that the source had before")


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the corrected labels are kept; for the standing it is enough that they are there."""
    folder = tmp_path_factory.mktemp("corrections")
    for digest in (FIXED, OTHER):
        (folder / f"{digest}.txt").write_text("")
    return folder


def stand(
    rows: Sequence[Entry], kept: Path, *, source: str = SOURCE, image: str = A, min_agreement: float = 0.0
) -> Standing:
    """The standing of one image whose source has these labels."""
    found = standing.standings(rows, [(image, source)], kept.parent, kept, min_agreement=min_agreement)
    return found[image]


def imported(folder: Path, *items: tuple[str, str], time: str = "2026-01-01T00:00:00+00:00") -> Entry:
    """A row that accepts an import, whose list is written."""
    digest = ledger.list_digest(items)
    files.write_text(ledger.list_path(folder, digest), ledger.format_list(items))
    return entry("accept-import", "Ada", digest, "", time=time)


@pytest.mark.parametrize(
    ("rows", "state", "digest"),
    [
        pytest.param([], "awaiting", SOURCE, id="nobody"),
        pytest.param([entry("accept")], "verified", SOURCE, id="accepted"),
        pytest.param([entry("reject")], "rejected", SOURCE, id="rejected"),
        pytest.param([entry("accept"), entry("reject")], "rejected", SOURCE, id="changed mind"),
        pytest.param([entry("reject"), entry("accept")], "verified", SOURCE, id="changed mind back"),
        pytest.param([entry("accept"), entry("reject", "Bob")], "conflict", SOURCE, id="two disagree"),
        pytest.param(
            [entry("accept"), entry("reject", "Bob"), entry("accept", "Cy")], "verified", SOURCE, id="third accepts"
        ),
        pytest.param(
            [entry("accept"), entry("reject", "Bob"), entry("reject", "Cy")], "conflict", SOURCE, id="third rejects"
        ),
        pytest.param([entry("relabel", label_digest=FIXED)], "verified", FIXED, id="corrected"),
        pytest.param(
            [entry("accept"), entry("relabel", "Bob", label_digest=FIXED)], "conflict", FIXED, id="two versions"
        ),
        pytest.param(
            [entry("reject"), entry("relabel", "Bob", label_digest=FIXED)],
            "verified", FIXED, id="rejected, then corrected by another",
        ),
        pytest.param(
            [
                entry("relabel", label_digest=FIXED),
                entry("relabel", "Bob", label_digest=OTHER),
                entry("accept", "Cy", label_digest=FIXED),
            ],
            "verified", FIXED, id="third chooses a version",
        ),
        pytest.param(
            [entry("relabel", label_digest=FIXED), entry("undo", label_digest=FIXED)], "awaiting", SOURCE, id="undone"
        ),
        pytest.param(
            [entry("accept"), entry("relabel", label_digest=FIXED), entry("undo", label_digest=FIXED)],
            "verified", SOURCE, id="undo brings back what was before",
        ),
        pytest.param([entry("accept", label_digest=GONE)], "awaiting", SOURCE, id="labels changed since"),
        pytest.param([entry("accept", image_id=B)], "awaiting", SOURCE, id="another image"),
        pytest.param([entry("control-wrong"), entry("control-right")], "awaiting", SOURCE, id="controls"),
    ],
)  # fmt: skip
def test_state(rows: list[Entry], state: str, digest: str, kept: Path) -> None:
    """A version holds when more people accept it than reject it or accept another."""
    found = stand(timed(rows), kept)
    assert (found.state, found.label_digest) == (state, digest)


def test_import_is_the_weakest_word(kept: Path) -> None:
    """An import verifies what its list names, with just these labels, until a person decides on the image itself."""
    row = imported(kept.parent, (A, SOURCE), (B, SOURCE))
    assert stand([row], kept).state == "verified"
    assert stand([row], kept, source=FIXED).state == "awaiting"
    for rows in ([row, entry("reject")], [entry("reject"), row]):
        assert stand(rows, kept).state == "rejected"
        assert stand(rows, kept, image=B).state == "verified"
    assert stand([row, entry("reject"), entry("undo")], kept).state == "verified"
    # An import cannot outvote, and cannot make a second vote.
    assert stand([row, entry("accept"), entry("reject", "Bob")], kept).state == "conflict"


def test_since(kept: Path) -> None:
    """An image is verified since the newest decision that the version rests on; an import's is that of the newest."""
    rows = timed([entry("accept"), entry("accept", "Bob"), entry("reject", "Cy")])
    assert stand(rows, kept).since == rows[1].time
    assert stand(rows[2:], kept).since == rows[2].time
    assert stand([], kept).since == ""
    old = imported(kept.parent, (A, SOURCE), time="2026-01-01T00:00:00+00:00")
    new = imported(kept.parent, (A, SOURCE), (B, SOURCE), time="2026-03-01T00:00:00+00:00")
    assert stand([new, old], kept).since == new.time


def test_votes_are_shown(kept: Path) -> None:
    """The newest vote of each reviewer is given, in order of time, without those on labels that are gone."""
    rows = timed([entry("reject", "Bob"), entry("accept"), entry("accept", "Bob"), entry("accept", "Cy", A, GONE)])
    assert stand(rows, kept).votes == (rows[1], rows[2])


def test_correction_that_is_missing(tmp_path: Path) -> None:
    """A correction whose labels are gone is an error that says how to get them back, not another version."""
    rows = [entry("relabel", label_digest=FIXED)]
    with pytest.raises(UserError, match=rf"{FIXED}\.txt is missing: the labels that Ada gave .*git checkout"):
        stand(rows, tmp_path)
    # Labels that the source itself has by now, or that were taken back, are not missed.
    assert stand(rows, tmp_path, source=FIXED).state == "verified"
    assert stand([*rows, entry("undo", label_digest=FIXED)], tmp_path).state == "awaiting"


WRONG = [entry("control-wrong", "Ada", sha(number), sha("broken")) for number in range(3)]


def test_held_back(kept: Path) -> None:
    """Who is surely right too rarely has later decisions held back, earlier ones count, and a release lets them in."""
    before, after = entry("accept", image_id=B), entry("accept")
    rows = [before, *WRONG, after]
    assert stand(rows, kept, min_agreement=0.8).state == "awaiting"
    assert stand(rows, kept, image=B, min_agreement=0.8).state == "verified"
    assert stand(rows, kept, min_agreement=0.7).state == "verified"
    assert stand([*rows, release("Ada")], kept, min_agreement=0.8).state == "verified"
    assert stand([*rows, release("Ada", by="Ada")], kept, min_agreement=0.8).state == "awaiting"
    assert stand([*rows, release("Bob", by="Cy")], kept, min_agreement=0.8).state == "awaiting"


def test_what_is_held_back_hides_nothing(kept: Path) -> None:
    """A held-back vote leaves the same reviewer's earlier vote in place, and a held-back correction is not shown."""
    rows = [entry("accept"), *WRONG, entry("reject"), entry("relabel", image_id=B, label_digest=FIXED)]
    assert stand(rows, kept, min_agreement=0.8).state == "verified"
    assert stand(rows, kept, image=B, min_agreement=0.8).label_digest == SOURCE


def test_elsewhere() -> None:
    """Images that are not real have a standing for each version that was decided on; taken-back decisions give none."""
    rows = timed([entry("accept"), entry("reject", "Bob", A, FIXED), entry("accept", image_id=B), entry("undo")])
    rows += timed([entry("accept", "Bob", sha("c")), entry("reject", "Ada", sha("c"))])
    found = {(one.image_id, one.label_digest): one.state for one in standing.elsewhere(rows, {B}, min_agreement=0.8)}
    assert found == {(A, FIXED): "rejected", (sha("c"), SOURCE): "conflict"}


# Laws

VOTES: list[Decision] = ["accept", "reject", "relabel"]
DIGESTS = {"accept": [SOURCE, FIXED, GONE], "reject": [SOURCE, FIXED, GONE], "relabel": [FIXED, OTHER]}


@st.composite
def decisions(draw: st.DrawFn) -> list[Entry]:
    """Decisions of some people on two images, undos included, each row with its time."""
    rows: list[Entry] = []
    left: dict[str, list[Entry]] = {}
    for _ in range(draw(st.integers(0, 12))):
        reviewer = draw(st.sampled_from(PEOPLE))
        if left.get(reviewer) and draw(st.integers(0, 3)) == 0:
            back = left[reviewer].pop()
            rows.append(entry("undo", reviewer, back.image_id, back.label_digest))
            continue
        what = draw(st.sampled_from(VOTES))
        row = entry(what, reviewer, draw(st.sampled_from([A, B])), draw(st.sampled_from(DIGESTS[what])))
        left.setdefault(reviewer, []).append(row)
        rows.append(row)
    return timed(rows)


def test_the_projects_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of rows the project's own folders are asked; of an image that is there twice the last row counts."""
    monkeypatch.chdir(tmp_path)
    source, corrected = row("a"), row("b")
    fixed = corrections.write(paths.CORRECTIONS, [])
    whole = imported(paths.IMPORTS, (source.image_id, source.label_digest))
    rows = timed([whole, entry("relabel", "Ada", corrected.image_id, fixed)])
    found = standing.of_rows(rows, [row("a", label_digest=GONE), corrected, source], min_agreement=0.0)
    assert [(one.state, one.label_digest) for one in found.values()] == [
        ("verified", source.label_digest), ("verified", fixed),
    ]  # fmt: skip
    assert list(found) == [source.image_id, corrected.image_id]


def all_standings(rows: Sequence[Entry], kept: Path, *, min_agreement: float = 0.8) -> dict[str, Standing]:
    """The standings of both images."""
    items = [(A, SOURCE), (B, SOURCE)]
    return standing.standings(rows, items, kept.parent, kept, min_agreement=min_agreement)


@settings(max_examples=60)
@given(rows=decisions(), data=st.data())
def test_order_of_arrival_never_matters(rows: list[Entry], data: st.DataObject, kept: Path) -> None:
    """However the decisions of different people are interleaved, the standings are the same, with people held back."""
    for name in data.draw(st.sets(st.sampled_from(PEOPLE))):
        place = data.draw(st.integers(0, len(rows)))
        rows[place:place] = [entry("control-wrong", name, sha(number), sha("broken")) for number in range(3)]
    queues = {name: [row for row in rows if row.reviewer == name] for name in PEOPLE}
    arrived = []
    while any(queues.values()):
        name = data.draw(st.sampled_from(sorted(name for name, queue in queues.items() if queue)))
        arrived.append(queues[name].pop(0))
    assert all_standings(arrived, kept) == all_standings(rows, kept)


@settings(max_examples=60)
@given(rows=decisions(), what=st.sampled_from(VOTES), reviewer=st.sampled_from(PEOPLE), data=st.data())
def test_undo_restores(rows: list[Entry], what: Decision, reviewer: str, data: st.DataObject, kept: Path) -> None:
    """A decision and its undo leave every standing as it was before."""
    digest = data.draw(st.sampled_from(DIGESTS[what]))
    # Labels that people accepted while the source had them come back for good when a correction repeats them.
    known = any(row.decision == "relabel" and (row.image_id, row.label_digest) == (A, digest) for row in rows)
    assume(what != "relabel" or known or not any((row.image_id, row.label_digest) == (A, digest) for row in rows))
    done = [*rows, entry(what, reviewer, A, digest), entry("undo", reviewer, A, digest)]
    assert all_standings(done, kept) == all_standings(rows, kept)


@settings(max_examples=40)
@given(rows=decisions(), data=st.data())
def test_a_plant_never_changes_a_standing(rows: list[Entry], data: st.DataObject, kept: Path) -> None:
    """Answers to planted labels, right or wrong, anywhere among the decisions, change no standing by themselves."""
    answers = st.builds(
        entry,
        st.sampled_from(["control-right", "control-wrong"]),
        st.sampled_from(PEOPLE),
        st.sampled_from([A, B]),
        st.sampled_from([sha("broken"), SOURCE, FIXED]),
    )
    mixed = list(rows)
    planted = data.draw(st.lists(answers, max_size=5))
    for answer in planted:
        mixed.insert(data.draw(st.integers(0, len(mixed))), answer)
    # An answer right before an undo of the same labels would be what that undo takes back: another ledger.
    assume(sum(mixed[one].decision in votes.CONTROLS for one in votes.remaining(mixed)) == len(planted))
    assert all_standings(mixed, kept, min_agreement=0.0) == all_standings(rows, kept, min_agreement=0.0)


@settings(max_examples=40)
@given(rows=decisions(), reviewer=st.sampled_from(PEOPLE), what=st.sampled_from(["accept", "reject"]))
def test_labels_that_changed_count_for_nothing(rows: list[Entry], reviewer: str, what: Decision, kept: Path) -> None:
    """Whatever is said of labels that the image no longer has is as if that person had not decided."""
    unseen = [row for row in rows if row.reviewer != reviewer]
    gone = [entry(what, reviewer, image, GONE) for image in (A, B)]
    before, after = all_standings(unseen, kept, min_agreement=0), all_standings([*unseen, *gone], kept, min_agreement=0)
    assert after == before


@settings(max_examples=40)
@given(rows=decisions())
def test_only_a_majority_verifies(rows: list[Entry], kept: Path) -> None:
    """An image is verified exactly when one version has more for it than against it, counted here by hand."""
    for image_id, found in all_standings(rows, kept, min_agreement=0.0).items():
        winners = []
        for digest in (SOURCE, FIXED, OTHER):
            accepts = [vote for vote in found.votes if vote.decision != "reject"]
            for_it = sum(vote.label_digest == digest for vote in accepts)
            against = sum(vote.label_digest != digest for vote in accepts)
            against += sum(vote.decision == "reject" and vote.label_digest == digest for vote in found.votes)
            winners += [digest] * (for_it > against)
        assert len(winners) <= 1
        assert (found.state == "verified") == bool(winners)
        assert found.label_digest in (winners or [found.label_digest])
        assert found.image_id == image_id
