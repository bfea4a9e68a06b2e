"""What people decided on synthetic images reaches those images, with just those labels, and no real one."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.core import manifest, synthetic
from pipeline.core.errors import UserError
from pipeline.core.standing import State
from tests.builders import row, sha, synthetic_row

STATES = st.dictionaries(
    st.tuples(st.sampled_from([sha(n) for n in range(5)]), st.sampled_from([sha(f"labels of {n}") for n in range(5)])),
    st.sampled_from(get_args(State)),
)


@settings(max_examples=30)
@given(states=STATES)
def test_round_trip(states: dict[tuple[str, str], State], tmp_path_factory: pytest.TempPathFactory) -> None:
    """The table comes back as it was written."""
    path = tmp_path_factory.mktemp("verified") / "synthetic.csv"
    synthetic.write(path, states)
    assert synthetic.read(path) == states


@settings(max_examples=50)
@given(states=STATES)
def test_a_synthetic_image_never_gets_origin_real(states: dict[tuple[str, str], State]) -> None:
    """Whatever people decide, synthetic images stay synthetic, and real ones are not touched."""
    rows = [synthetic_row(str(n)) if n % 2 else row(str(n)) for n in range(5)]
    found = manifest.to_rows(synthetic.marked(manifest.to_table(rows), states))
    assert [one.origin for one in found] == [one.origin for one in rows]
    assert [one.lineage_depth for one in found] == [one.lineage_depth for one in rows]
    for before, after in zip(rows, found, strict=True):
        state = states.get((before.image_id, before.label_digest))
        expected = state == "verified" if before.origin == "synthetic" else before.human_verified
        assert after.human_verified == expected
    refused = set(synthetic.refused(manifest.to_table(rows), states))
    assert not {one.image_id for one in rows if one.origin == "real"} & refused


def test_refused() -> None:
    """Refused is what people rejected or disagree on, with the labels that it has now."""
    made = [synthetic_row(str(n)) for n in range(5)]
    given_states: list[State] = ["rejected", "conflict", "verified", "awaiting"]
    states = {(one.image_id, one.label_digest): state for one, state in zip(made, given_states, strict=False)}
    states[made[4].image_id, sha("older labels")] = "rejected"
    assert synthetic.refused(manifest.to_table(made), states) == [made[0].image_id, made[1].image_id]


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="empty"),
        pytest.param("image_id,label_digest\n", id="other columns"),
        pytest.param("image_id,label_digest,state\na,b\n", id="short line"),
        pytest.param("image_id,label_digest,state\na,b,fine\n", id="unknown state"),
    ],
)
def test_no_table(text: str, tmp_path: Path) -> None:
    """What is no such table is refused, with the command that makes it anew."""
    path = tmp_path / "synthetic.csv"
    path.write_text(text)
    with pytest.raises(UserError, match=r"is no table of image_id, label_digest, state\. Run `uv run dvc repro -f"):
        synthetic.read(path)
