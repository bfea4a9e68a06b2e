"""No address of those who hear of a night is shown."""

from __future__ import annotations

import pytest
import yaml

from pipeline.core import params
from pipeline.core.errors import UserError
from pipeline.core.masking import masked, without
from tests.project import ROOT

SECTIONS = yaml.safe_load((ROOT / "params.yaml").read_text())
TEXT = yaml.safe_dump({name: SECTIONS[name] for name in SECTIONS if name != "nightly"}, sort_keys=False)
TOKEN = "T0KEN99secret"  # noqa: S105 - nobody's


@pytest.mark.parametrize(
    "address",
    [
        f"slack://{TOKEN}/B/C",
        f"https://hooks.example.org/{TOKEN}?a={TOKEN}",
        f"mailtos://user:{TOKEN}@example.org?to=a@b.c",
        f"json://127.0.0.1:80/{TOKEN}",
    ],
    ids=lambda address: address.partition(":")[0],
)
def test_addresses_are_hidden(address: str) -> None:
    """Of an address only the scheme is left, whatever stands around it."""
    text = f"cannot reach '{address}', see {address}."
    assert TOKEN not in masked(text)
    assert "cannot reach" in masked(text)
    assert TOKEN not in without(f"password {TOKEN} refused", address)
    assert without(f"as {address}", "ntfy://another.one") == masked(f"as {address}")


@pytest.mark.parametrize(
    "section",
    [
        pytest.param(f"nightly: {{ notify: slack://{TOKEN} }}", id="text for a list"),
        pytest.param(f"nightly: {{ notify: {TOKEN} }}", id="no address at all"),
        pytest.param(f"nightly: {{ notify: [{{ url: {TOKEN} }}] }}", id="a mapping in the list"),
        pytest.param(f"nightly: {{ ping: [{TOKEN}] }}", id="a list for text"),
        pytest.param(f"nightly: {{ pong: 'https://{TOKEN}', ping: 'https://{TOKEN}' }}", id="misspelt key"),
        pytest.param(f"nightly: {{ 'https://{TOKEN}': 1 }}", id="address as a key"),
        pytest.param(f"nightly: {TOKEN}", id="text for the section"),
        pytest.param(f"nightly: {{ notify: ['slack://{TOKEN}', }}", id="no YAML"),
        pytest.param(f"nightly: {{ notify: ['slack://{TOKEN}'], limit: 0 }}", id="another value refused"),
    ],
)
def test_errors_of_params_hide_them(section: str) -> None:
    """However `nightly` is malformed, what params.yaml says of it has no address and no token in it."""
    with pytest.raises(UserError) as caught:
        params.parse(f"{TEXT}{section}\n")
    assert TOKEN not in str(caught.value)
    assert "params.yaml" in str(caught.value)
