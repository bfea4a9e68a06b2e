"""The App as a person uses it: real Chromium, App, MongoDB and pipeline; what is decided is what is used."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from pipeline.core import labels, ledger, manifest
from pipeline.core.labels import Box
from pipeline.core.ledger import Entry
from pipeline.core.manifest import Row
from tests import project as projects
from tests.project import Project, free_port

pytestmark = pytest.mark.slow
CHROMIUM = Path("/usr/bin/chromium")
PATIENCE = 120.0  # seconds; the App is slow where a machine is busy
RUN = "recursive-1"


def one_run(params: dict[str, Any]) -> None:
    """A base and one run, small."""
    projects.small(params)
    params["runs"] = {RUN: params["runs"][RUN]}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A small project that has run, whose state is in git."""
    made = projects.create(tmp_path_factory.mktemp("reviewed"), one_run)
    projects.accept(made)
    done = made.run("dvc", "repro", timeout=1200)
    assert done.code == 0, done.output
    for command in (("git", "add", "-A"), ("git", "-c", "user.name=t", "-c", "user.email=t@t", "commit", "-qm", "ran")):
        assert made.run(*command).code == 0
    return made


@pytest.fixture(scope="module")
def address(project: Project) -> Iterator[str]:
    """The App, served for Ada."""
    port = free_port()
    process = project.start(
        "tailwatch", "review", "--no-browser", "--port", str(port), TAILWATCH_REVIEWER="Ada", PYTHONUNBUFFERED="1"
    )
    assert process.stdout is not None
    said = ""
    while "FiftyOne App" not in said:
        line = process.stdout.readline()
        assert line, said
        said += line
    assert _listens_on(port) == {"127.0.0.1"}
    yield f"http://127.0.0.1:{port}"
    os.killpg(process.pid, signal.SIGINT)
    try:
        process.wait(30)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait(30)
    process.stdout.close()


def _listens_on(port: int) -> set[str]:
    found = psutil.net_connections(kind="tcp")
    return {one.laddr.ip for one in found if one.laddr and one.laddr.port == port and one.status == psutil.CONN_LISTEN}


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """A headless Chromium."""
    if not CHROMIUM.exists():
        pytest.skip("no Chromium on this machine")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as play:
        started = play.chromium.launch(executable_path=str(CHROMIUM), args=["--no-sandbox"])
        yield started
        started.close()


def opened(browser: Any, address: str, rest: str = "") -> Any:
    """A browser of its own with the App in it, ready."""
    page = browser.new_context(viewport={"width": 1500, "height": 900}).new_page()
    page.set_default_timeout(1000 * PATIENCE)
    page.goto(address + rest)
    greeting = page.get_by_text("Dismiss", exact=True)  # FiftyOne's, of a browser that is new to it
    greeting.wait_for()
    greeting.dispatch_event("click")
    page.get_by_role("button", name="Queue").wait_for()
    return page


def rows(project: Project) -> list[Entry]:
    """The decisions of persons in the ledger; its chain is whole."""
    return ledger.read(project.folder / "data/ledger.csv")[1:]


def awaited(found: Callable[[], Any]) -> Any:
    """What is found, as soon as it is something."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        if value := found():
            return value
        time.sleep(0.2)
    raise AssertionError("nothing came in time")


def after(project: Project, count: int) -> Entry:
    """The row that makes the ledger so many rows long."""
    awaited(lambda: len(rows(project)) >= count)
    assert len(rows(project)) == count
    return rows(project)[-1]


def press(page: Any, key: str) -> None:
    """Press a key where no field takes it."""
    page.wait_for_function("window.__foo__ !== undefined")
    page.keyboard.press(key)


def training(project: Project, number: int) -> Row:
    """A training image, the same one whatever is decided meanwhile."""
    found = manifest.read(project.folder / "data/real/manifest.parquet")
    return [row for row in found if row.split == "train" and row.boxes][number]


def sample_of(project: Project, image_id: str) -> str:
    """FiftyOne's id of an image, not of an item that is planted in the queue."""
    code = (
        "from pipeline.adapters import voxel, voxel_decisions; d = voxel.connect().load_dataset('tailwatch');"
        f"print('sample', voxel_decisions.samples_of(d, '{image_id}')[0])"
    )
    done = project.run("python", "-W", "ignore", "-c", code)
    assert done.code == 0, done.output
    return done.output.rpartition("sample ")[2].strip()


def move(page: Any, box: Box, *, pixels: int = 30) -> None:
    """Drag a box of the opened image in the Annotate tab, and wait until the App has saved it."""
    page.get_by_text("Annotate", exact=True).click()
    page.get_by_text("Edit", exact=True).wait_for()
    time.sleep(2)  # the drawing moves into its place
    area = page.locator(
        "[data-cy=modal-looker-container], [data-cy=modal-lighter-container], canvas"
    ).last.bounding_box()
    side = min(area["width"], area["height"])
    left, top = area["x"] + (area["width"] - side) / 2, area["y"] + (area["height"] - side) / 2
    x, y = left + box.x * side, top + box.y * side
    page.mouse.click(x, y)
    time.sleep(1)
    with page.expect_response(lambda answer: answer.request.method == "PATCH" and "/sample/" in answer.url):
        page.mouse.move(x, y)
        page.mouse.down()
        page.mouse.move(x + pixels, y + pixels, steps=8)
        page.mouse.up()


def test_accept_a_lost_box(project: Project, address: str, browser: Any) -> None:
    """Open the workspace, choose what the run lost, open an image, accept its labels with one key."""
    page, known = opened(browser, address), len(rows(project))
    page.get_by_role("button", name=f"{RUN}:").click()
    page.wait_for_url(f"**view={RUN}-lost-boxes*")
    page.locator("[data-cy=looker]").first.click()
    page.wait_for_url("**id=*")
    time.sleep(3)
    press(page, "Shift+A")
    accepted = after(project, known + 1)
    assert (accepted.decision, accepted.reviewer) == ("accept", "Ada")
    page.context.close()


def test_reject_with_a_reason(project: Project, address: str, browser: Any) -> None:
    """The form asks why, and letters that are keys elsewhere are text in it; a formula stays text in the ledger."""
    page, wrong, known = opened(browser, address), training(project, 0), len(rows(project))
    page.goto(f"{address}/datasets/tailwatch?id={sample_of(project, wrong.image_id)}")
    page.get_by_text("Annotate", exact=True).wait_for()
    press(page, "Shift+R")
    page.get_by_role("button", name="Write into the ledger").wait_for()
    page.get_by_role("textbox").last.press_sequentially('=cmd, "two"; A of one key')
    page.get_by_role("button", name="Write into the ledger").click()
    rejected = after(project, known + 1)
    assert (rejected.decision, rejected.image_id) == ("reject", wrong.image_id)
    assert rejected.reason == '\'=cmd, "two"; A of one key'
    page.context.close()


def test_correct_undo_and_correct_again(project: Project, address: str, browser: Any) -> None:
    """A box is moved in the App; nothing counts until it is handed in, and undo brings the old labels back."""
    page, moved, known = opened(browser, address), training(project, 1), len(rows(project))
    box = labels.read(project.folder / moved.label_path)[0]
    page.goto(f"{address}/datasets/tailwatch?id={sample_of(project, moved.image_id)}")
    move(page, box)
    press(page, "Shift+A")
    page.get_by_text("were changed in the App and not handed in").first.wait_for()
    assert len(rows(project)) == known
    press(page, "Shift+C")
    corrected = after(project, known + 1)
    assert (corrected.decision, corrected.image_id) == ("relabel", moved.image_id)
    kept = labels.read(project.folder / f"data/corrections/{corrected.label_digest}.txt")
    before = labels.read(project.folder / moved.label_path)
    assert len(set(kept) - set(before)) == len(set(before) - set(kept)) == 1
    press(page, "Shift+U")
    assert after(project, known + 2).decision == "undo"
    page.goto(f"{address}/datasets/tailwatch?id={sample_of(project, moved.image_id)}")
    move(page, box)
    press(page, "Shift+C")
    assert after(project, known + 3).decision == "relabel"
    page.context.close()


def test_the_next_mixture_shows_what_was_decided(project: Project) -> None:
    """DVC says what will run, and the base's mixture has neither the rejected image nor the old labels."""
    wrong, moved, again = training(project, 0), training(project, 1), rows(project)[-1]
    status = project.run("dvc", "status").output
    assert "verify:" in status
    assert "train-base" not in status
    for stage in ("verify", "mix-base"):
        done = project.run("dvc", "repro", stage)
        assert done.code == 0, done.output
    used = {row.image_id: row for row in manifest.read(project.folder / "data/mix/base/manifest.parquet")}
    assert wrong.image_id not in used
    assert used[moved.image_id].label_digest == again.label_digest
    assert labels.digest(labels.read(project.folder / used[moved.image_id].label_path)) == again.label_digest


def test_two_people_in_two_browsers(project: Project, address: str, browser: Any) -> None:
    """Both decide at once, each in their own name; no row is lost, and the chain is whole."""
    known = len(rows(project))
    pages = [opened(browser, address), opened(browser, address)]
    for page, number in zip(pages, (2, 3), strict=True):
        page.goto(f"{address}/datasets/tailwatch?id={sample_of(project, training(project, number).image_id)}")
        page.get_by_text("Annotate", exact=True).wait_for()
    for page, number in zip(pages, (2, 3), strict=True):  # FiftyOne's own server would show both the same image
        assert sample_of(project, training(project, number).image_id) in page.url
    pages[1].evaluate("sessionStorage.setItem('tailwatch.reviewer', 'Ben')")
    for page in pages:
        press(page, "Shift+A")
    awaited(lambda: len(rows(project)) == known + 2)
    assert {one.reviewer for one in rows(project)[-2:]} == {"Ada", "Ben"}
    assert {one.image_id for one in rows(project)[-2:]} == {training(project, number).image_id for number in (2, 3)}
    for page in pages:
        page.context.close()


def test_the_database_dies_before_a_decision(project: Project, address: str, browser: Any) -> None:
    """A key is pressed and MongoDB is gone: nothing is in the ledger, and the person is told so. The last test here."""
    page, before = opened(browser, address), len(rows(project))
    page.goto(f"{address}/datasets/tailwatch?id={sample_of(project, training(project, 2).image_id)}")
    page.get_by_text("Annotate", exact=True).wait_for()
    (database,) = [
        one for one in psutil.process_iter(["name", "cmdline"])
        if one.info["name"] == "mongod" and str(project.folder / ".fiftyone") in one.info["cmdline"]
    ]  # fmt: skip
    database.kill()
    press(page, "Shift+A")
    page.get_by_text("nothing was decided").wait_for()
    assert len(rows(project)) == before
    page.context.close()
