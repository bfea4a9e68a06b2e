"""Fixtures that several modules share."""

from __future__ import annotations

import functools
import gc
import os
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from pipeline.core import params

# Some thousand tests are objects that stay: looking for cycles among them took a third of the time of their collection.
gc.set_threshold(50_000, *gc.get_threshold()[1:])
# How long an example takes says nothing on a busy machine; what hangs is ended by pytest-timeout.
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")


@pytest.fixture(scope="session", autouse=True)
def _quick() -> Iterator[None]:
    """Leave out, in the tests' own process, what costs time and shows nothing.

    No test loses power, so nothing has to wait for the disk; and one text of params.yaml is read once.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda _: None)
        patch.setattr(params, "parse", functools.cache(params.parse))
        yield


@pytest.fixture(scope="session")
def fo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """FiftyOne, connected to one database for all tests of the session that want one."""
    from tests import fiftyone_database

    yield from fiftyone_database.connected(tmp_path_factory.mktemp("fiftyone"))
