"""Fixtures that several modules share."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest


@pytest.fixture(scope="session")
def fo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """FiftyOne, connected to one database for all tests of the session that want one."""
    from tests import fiftyone_database

    yield from fiftyone_database.connected(tmp_path_factory.mktemp("fiftyone"))
