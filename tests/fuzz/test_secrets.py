"""No secret of params.yaml is ever said: whatever is wrong, near it or with it, the message does not have it."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.core import params
from pipeline.core.errors import UserError
from tests.fuzz.driving import put
from tests.fuzz.test_commands import command
from tests.project import ROOT

TOKEN = "T0KEN-4f1d"  # noqa: S105 - the secret of these tests
ADDRESS = f"slack://{TOKEN}/B1/C2"
PLAIN = (ROOT / "params.yaml").read_text()
SECTION = f"\nnightly:\n  notify: ['{ADDRESS}']\n  ping: 'https://example.org/{TOKEN}'\n"


def params_yaml(section: str) -> str:
    """The project's params.yaml with another section `nightly`."""
    start = PLAIN.find("\nnightly:")
    if start < 0:
        return PLAIN + section
    after = PLAIN.find("\n\n", start + 1)
    return PLAIN[:start] + section + (PLAIN[after:] if after >= 0 else "")


WRONG = {
    "a key misspelt beside it": SECTION + "  schedul: '0 3 * * *'\n",
    "its own key misspelt": SECTION.replace("notify", "notfy"),
    "the other key misspelt": SECTION.replace("ping", "pin"),
    "the section misspelt": SECTION.replace("nightly", "nigthly"),
    "a text for the list": f"\nnightly:\n  notify: {ADDRESS}\n",
    "a mapping for the list": f"\nnightly:\n  notify: {{'{ADDRESS}': 1}}\n",
    "a list in the list": f"\nnightly:\n  notify: [['{ADDRESS}']]\n",
    "a number beside it in the list": f"\nnightly:\n  notify: ['{ADDRESS}', 7]\n",
    "a list for the address": f"\nnightly:\n  ping: ['{ADDRESS}']\n",
    "a token alone in a list": f"\nnightly:\n  ping: [{TOKEN}]\n",
    "a token alone in a mapping": f"\nnightly:\n  notify: {{url: {TOKEN}}}\n",
    "the section a text": f"\nnightly: {ADDRESS}\n",
    "the section a token": f"\nnightly: {TOKEN}\n",
    "the section a list": f"\nnightly: ['{ADDRESS}']\n",
    "the address a key": f"\nnightly:\n  '{ADDRESS}': 1\n",
    "the address under another key": f"\nnightly:\n  schedule: ['{ADDRESS}']\n",
    "a key twice": SECTION + f"  ping: 'https://example.org/{TOKEN}'\n",
    "a tab": SECTION + f"\tping: '{ADDRESS}'\n",
    "a quote without end": f"\nnightly:\n  ping: '{ADDRESS}\n",
    "a bracket without end": f"\nnightly:\n  notify: ['{ADDRESS}'\n  ping: x\n",
    "a colon too many": f"\nnightly:\n  ping: {ADDRESS}: x: y\n",
    "a percent sign first": f"\nnightly:\n  ping: %{TOKEN}\n",
    "an at sign first": f"\nnightly:\n  ping: @{TOKEN}\n",
    "a tag": f"\nnightly:\n  ping: !!int '{TOKEN}'\n",
    "a python object": f"\nnightly:\n  ping: !!python/object/apply:os.system ['{TOKEN}']\n",
    "a control character": f"\nnightly:\n  ping: '{ADDRESS}\x01'\n",
}


@pytest.mark.parametrize("kind", WRONG)
def test_params(kind: str) -> None:
    """An error about params.yaml says where and what was wanted, never an address or a token in it."""
    with pytest.raises(UserError) as caught:
        params.parse(params_yaml(WRONG[kind]))
    assert TOKEN not in str(caught.value)
    assert "params.yaml" in str(caught.value)


@settings(max_examples=60)
@given(
    cut=st.integers(1, len(SECTION)), junk=st.sampled_from(["", "'", "[", "{", "\t", ": ", "\n- ", "!x ", "&a ", "\0"])
)
def test_params_cut_anywhere(cut: int, junk: str) -> None:
    """A section that is cut off or broken anywhere gives nothing away."""
    base = params_yaml("")
    try:
        params.parse(base + SECTION[:cut] + junk + SECTION[cut:])
    except UserError as error:
        assert TOKEN not in str(error)  # noqa: PT017 - some of them are still good


@pytest.mark.parametrize("name", ["pipeline.ingest", "pipeline.cli check", "pipeline.cli doctor --quick"])
@pytest.mark.slow
@pytest.mark.parametrize("kind", ["its own key misspelt", "a bracket without end", "the section a text"])
def test_commands(tmp_path: Path, name: str, kind: str) -> None:
    """Neither a stage nor the doctor says it."""
    put(tmp_path / "params.yaml", params_yaml(WRONG[kind]))
    _, output = command(tmp_path, *name.split(), seconds=120)
    assert output
    assert TOKEN not in output
