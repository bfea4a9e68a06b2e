"""The report as a whole: what the stage writes, and that a browser shows it."""

from __future__ import annotations

import json
import math
import re
import shutil
import xml.etree.ElementTree as ET
from html.parser import HTMLParser
from pathlib import Path

import pytest

from pipeline import report
from pipeline.adapters import charts
from pipeline.adapters.charts import Chart
from pipeline.core import paths, reporting
from pipeline.core.audits import Figure
from pipeline.core.errors import UserError
from pipeline.core.paths import RunPaths
from tests import report_builders as build

HOSTILE = "<script>alert('x')</script>\"><img src=x onerror=alert(1)>$a_b$"


class Reader(HTMLParser):
    """What a page is made of: its elements with their attributes, and its text."""

    def __init__(self, html: str) -> None:
        """Read the page."""
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Keep an element."""
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        """Keep text."""
        self.text += data

    def of(self, tag: str) -> list[dict[str, str | None]]:
        """The attributes of all elements with a tag."""
        return [attributes for name, attributes in self.elements if name == tag]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def page(folder: Path) -> str:
    """The page of a small project."""
    build.project(folder)
    report.main()
    return paths.REPORT_PAGE.read_text()


@pytest.fixture
def hostile_page(folder: Path) -> str:
    """The page of a project whose classes and arms have names of markup."""
    build.project(folder, "cat " + HOSTILE, "lynx " + HOSTILE, tame="tame " + HOSTILE, wild="wild " + HOSTILE)
    report.main()
    return paths.REPORT_PAGE.read_text()


def test_stage_writes_all_its_files(page: str) -> None:
    """The page, the summary, the metrics, the plots and the picture are there, and nothing is left aside."""
    assert sorted(str(path.relative_to(paths.REPORTS)) for path in paths.REPORTS.rglob("*") if path.is_file()) == [
        "index.html", "metrics.json", "plots/class_shares.csv", "plots/map.csv", "plots/mean_rare_recall.csv",
        "plots/rare_recall.csv", "rare-recall.svg", "summary.md",
    ]  # fmt: skip


def test_equal_input_gives_equal_files(page: str) -> None:
    """A second report of the same runs is the same, byte for byte."""
    before = {path: path.read_bytes() for path in paths.REPORTS.rglob("*") if path.is_file()}
    report.main()
    assert {path: path.read_bytes() for path in paths.REPORTS.rglob("*") if path.is_file()} == before


def test_other_files_beside_the_report_stay(page: str) -> None:
    """DVC keeps a .gitignore beside the report; a new report leaves it there, and takes old plots away."""
    (paths.REPORTS / ".gitignore").write_text("/index.html\n")
    (paths.REPORT_PLOTS / "old.csv").write_text("a\n")
    report.main()
    assert (paths.REPORTS / ".gitignore").exists()
    assert not (paths.REPORT_PLOTS / "old.csv").exists()


def test_page_is_small_and_fetches_nothing(page: str) -> None:
    """One file under 5 MB with no script and no address in it; every picture is within."""
    reader = Reader(page)
    assert len(page.encode()) < 5_000_000
    plain = re.sub(r"data:image/\w+;base64,[\w+/=]+", "", page)
    assert re.findall(r"https?:|//\w|url\((?!#)|@import", plain) == []
    assert reader.of("script") == []
    assert all((image["src"] or "").startswith("data:image/") for image in reader.of("img"))


def test_page_tells_the_verdicts_first(page: str) -> None:
    """Title and verdicts come before anything else, worded and with a symbol."""
    text = " ".join(Reader(page).text.split())
    head = text[: text.index("Generation by generation")]
    assert "wild is collapsing; tame is healthy." in head
    for wanted in ("✕ Collapsing", "✓ Healthy", "? gen 1 : Inconclusive"):
        assert wanted.replace(" ", "") in head.replace(" ", "")


def test_page_shows_pages_and_lost_boxes(page: str) -> None:
    """The real pages, the synthetic ones of each run, and the lost boxes with what is seen instead are there."""
    alts = [image["alt"] or "" for image in Reader(page).of("img")]
    assert len([alt for alt in alts if alt.startswith("real image")]) == 2
    assert len([alt for alt in alts if alt.startswith("synthetic image")]) == 3
    assert sorted(alt for alt in alts if alt.startswith("lynx")) == [
        "lynx, sees cat (0.80), t0",
        "lynx, sees nothing, t1",
    ]


def test_page_is_accessible(page: str) -> None:
    """Language, title, one first heading, alternative texts, table headers and named charts are there."""
    reader = Reader(page)
    assert reader.of("html")[0]["lang"] == "en"
    assert len(reader.of("h1")) == 1
    assert "<title>Tailwatch: " in page
    assert all(image.get("alt") for image in reader.of("img"))
    assert all(head.get("scope") in {"col", "row"} for head in reader.of("th"))
    assert all(svg.get("aria-label") or svg.get("aria-hidden") for svg in reader.of("svg"))


def test_ids_within_the_page_are_unique(page: str) -> None:
    """The charts share one page, so no id of one may be that of another, and each reference finds its own."""
    ids = [value for _, attributes in Reader(page).elements for name, value in attributes.items() if name == "id"]
    assert len(ids) == len(set(ids)) > 0
    assert set(re.findall(r'(?:url\(|href=")#([^")]+)', page)) <= {str(one) for one in ids}


def test_hostile_names_are_only_text(hostile_page: str) -> None:
    """A class or an arm named like markup shows as its name and adds no element."""
    reader = Reader(hostile_page)
    assert reader.of("script") == []
    assert all("onerror" not in attributes for _, attributes in reader.elements)
    assert "lynx " + HOSTILE in reader.text
    assert "<script" not in hostile_page
    ET.parse(paths.REPORTS / "rare-recall.svg")  # noqa: S314 - written by this project


def test_hostile_names_leave_other_files_whole(hostile_page: str) -> None:
    """Metrics stay JSON, and the summary has no markup of the names."""
    metrics = json.loads(paths.REPORT_METRICS.read_text())
    assert metrics["base"]["recall"]["lynx " + HOSTILE] == 0.9
    assert "<script" not in paths.REPORT_SUMMARY.read_text()


def test_metrics_are_finite(page: str) -> None:
    """Every number of the metrics is finite."""

    def numbers(value: object) -> list[float]:
        if isinstance(value, dict):
            return [number for one in value.values() for number in numbers(one)]
        return [float(value)] if isinstance(value, int | float) else []

    found = numbers(json.loads(paths.REPORT_METRICS.read_text()))
    assert len(found) == 4 * 5
    assert all(math.isfinite(number) for number in found)


def test_missing_verdict_is_a_users_error(folder: Path) -> None:
    """A run without its verdict is named, and the old report stays."""
    build.project(folder)
    report.main()
    RunPaths("wild-2").gate.unlink()
    with pytest.raises(UserError, match=r"gate/wild-2\.json is missing"):
        report.main()
    assert paths.REPORT_PAGE.exists()


def test_chart_alone_is_an_svg_file() -> None:
    """The picture for the README is well-formed, has no date and names its arms."""
    chart = Chart(
        lines=reporting.lines(build.history(wild="wild & <co> $x_1$"), reporting.rare_recall),
        floor=0.8,
        floor_name="base less 0.1",
        size=(640, 360),
        title="Recall",
    )
    text = charts.standalone(chart)
    root = ET.fromstring(text)  # noqa: S314 - written by this project
    assert "wild & <co> $x_1$" in "".join(root.itertext())
    assert "metadata" not in text
    assert charts.standalone(chart) == text


def test_line_is_broken_where_a_figure_is_absent() -> None:
    """No line is drawn across a generation that has no figure."""
    line = reporting.lines(build.history(), reporting.rare_recall)[1]
    absent = reporting.Point(generation=9, run="x", verdict=None, figure=Figure(value=None, reason="none"))
    pieces = charts._unbroken([line.points[0], absent, *line.points[1:]])
    assert [[point.run for point in piece] for piece in pieces] == [["base"], ["wild-1", "wild-2"]]


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390], ids=["desktop", "phone"])
@pytest.mark.parametrize("names", ["plain", "hostile"])
def test_browser_shows_the_page(folder: Path, width: int, scheme: str, names: str) -> None:
    """Opened from the disk, the page has no error, does not scroll sideways, and shows its verdicts at once."""
    from playwright.sync_api import sync_playwright

    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("no chromium on this machine")
    more = f" {HOSTILE * 3}" if names == "hostile" else ""
    build.project(folder, "cat" + more, "lynx" + more, tame="tame" + more, wild="wild" + more)
    report.main()
    problems: list[str] = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        tab = browser.new_page(
            viewport={"width": width, "height": 844}, color_scheme="dark" if scheme == "dark" else "light"
        )
        tab.on("console", lambda message: problems.append(message.text))
        tab.on("pageerror", lambda error: problems.append(str(error)))
        tab.on("request", lambda request: problems.append(request.url) if request.url.startswith("http") else None)
        tab.goto(paths.REPORT_PAGE.absolute().as_uri())
        for details in tab.locator("summary").all():
            details.click()
        wide, room = tab.evaluate("[document.documentElement.scrollWidth, window.innerWidth]")
        headings = tab.locator("h2.verdict").all()
        verdicts = [heading.inner_text().split()[-1] for heading in headings if heading.is_visible()]
        decoded = tab.evaluate("[...document.images].every(image => image.complete && image.naturalWidth > 0)")
        browser.close()
    assert problems == []
    assert wide <= room
    assert verdicts == ["Healthy", "Collapsing"]
    assert decoded
