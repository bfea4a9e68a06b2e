"""Trainings beside one another share the cores that there are."""

from __future__ import annotations

import os

import pytest

from pipeline.core import cores


@pytest.mark.parametrize(
    ("limit", "wanted"),
    [
        pytest.param("1", 1, id="one"),
        pytest.param("0", 1, id="none"),
        pytest.param("4096", None, id="more than there are"),
        pytest.param("", None, id="empty"),
        pytest.param("two", None, id="no number"),
    ],
)
def test_available(monkeypatch: pytest.MonkeyPatch, limit: str, wanted: int | None) -> None:
    """A training takes no more cores than it is told, and no more than there are."""
    monkeypatch.delenv(cores.THREADS_VARIABLE, raising=False)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    everything = cores.available()
    assert everything == len(os.sched_getaffinity(0)), "ultralytics sets OMP_NUM_THREADS to 1 when it is imported"
    monkeypatch.setenv(cores.THREADS_VARIABLE, limit)
    assert cores.available() == (wanted or everything)


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        pytest.param({}, {"OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": "10000"}, id="by default"),
        pytest.param({"OMP_WAIT_POLICY": "ACTIVE"}, {"OMP_WAIT_POLICY": "ACTIVE"}, id="the user's policy"),
        pytest.param(
            {"GOMP_SPINCOUNT": "5"}, {"OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": "5"}, id="the user's patience"
        ),
    ],
)
def test_threads_sleep(monkeypatch: pytest.MonkeyPatch, given: dict[str, str], wanted: dict[str, str]) -> None:
    """Threads sleep after a while; what the user set stays."""
    for name in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT"):
        monkeypatch.setenv(name, "")  # what was there comes back at the end
        monkeypatch.delenv(name)
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    cores.let_threads_sleep()
    assert {
        name: value for name, value in os.environ.items() if name in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")
    } == wanted
