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
from pipeline.core import files, judgements, manifest, paths, report_files, reporting
from pipeline.core.errors import UserError
from pipeline.core.figures import Figure, ReliabilityBin
from pipeline.core.paths import RunPaths
from pipeline.core.report_charts import Decline, DeclineChart, LineChart, ReliabilityChart
from tests import report_builders as build
from tests.project import ROOT

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


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small project with its report, written once for all tests that only read it."""
    with pytest.MonkeyPatch.context() as patch:
        made = tmp_path_factory.mktemp("written")
        patch.chdir(made)
        build.project(made)
        report.main()
    return made


@pytest.fixture(scope="module")
def written_hostile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same of a project whose classes and arms have names of markup."""
    with pytest.MonkeyPatch.context() as patch:
        made = tmp_path_factory.mktemp("hostile")
        patch.chdir(made)
        build.project(made, "cat " + HOSTILE, "lynx " + HOSTILE, tame="tame " + HOSTILE, wild="wild " + HOSTILE)
        report.main()
    return made


@pytest.fixture
def page(folder: Path, written: Path) -> str:
    """The page of a small project, of which the working directory is a copy."""
    shutil.copytree(written, folder, dirs_exist_ok=True)
    return paths.REPORT_PAGE.read_text()


@pytest.fixture
def hostile_page(folder: Path, written_hostile: Path) -> str:
    """The page of a project whose classes and arms have names of markup."""
    shutil.copytree(written_hostile, folder, dirs_exist_ok=True)
    return paths.REPORT_PAGE.read_text()


def test_stage_writes_all_its_files(page: str) -> None:
    """The page, the summary, the metrics, the plots and the picture are there, and nothing is left aside."""
    assert sorted(str(path.relative_to(paths.REPORTS)) for path in paths.REPORTS.rglob("*") if path.is_file()) == [
        "index.html", "metrics.json", "plots/class_shares.csv", "plots/lost_tails.csv", "plots/map.csv",
        "plots/mean_rare_recall.csv", "plots/near_duplicates.csv", "plots/rare_recall.csv", "plots/runs.json",
        "rare-recall.svg", "summary.md",
    ]  # fmt: skip


def test_equal_input_gives_equal_files(page: str) -> None:
    """A second report of the same runs on the same day is the same, byte for byte."""
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
    assert len([alt for alt in alts if alt.startswith("group 1 of ")]) == 2
    assert len([alt for alt in alts if alt.startswith("synthetic cat beside its nearest real one")]) == 2
    assert sorted(alt for alt in alts if alt.startswith("lynx")) == [
        "lynx, sees cat (0.80), t0",
        "lynx, sees nothing, t1",
    ]


def test_page_tells_why_before_the_details(page: str) -> None:
    """After the verdicts come diagnosis and early warnings, then the curves, then all that is to be unfolded."""
    text = " ".join(Reader(page).text.split())
    end = 0
    for words in (
        "Collapsing", "The evidence supports collapse", "what to do about collapse.", "a class is about to vanish",
        "Generation by generation", "What it no longer finds", "How the detector errs", "Copies and repetitions",
        "Variety and fidelity", "Drift of the synthetic images", "Lineage and freshness", "How to read this",
    ):  # fmt: skip
        assert words in text[end:]
        end = text.index(words, end)


def test_page_is_no_wall(page: str) -> None:
    """All topics are to be unfolded, but for lost boxes, the strip of a class, and classes foreseen to vanish."""
    topics = [one for one in Reader(page).of("details") if one.get("class") == "topic"]
    assert ["open" in one for one in topics] == [True, True, True, False, False, False, False, False, False, False]


def test_missing_pictures_do_not_break_the_page(page: str) -> None:
    """Runs of long ago have given up their images, labels or table; the report says so where pictures would be."""
    shutil.rmtree(RunPaths("wild-2").synthetic / "images")
    shutil.rmtree(RunPaths("tame-1").synthetic / "labels")
    RunPaths("wild-1").synthetic_manifest.unlink()
    lost = next(row for row in manifest.read(paths.VERIFIED_HELD_OUT) if row.split == "test")
    Path(lost.path).unlink()
    report.main()
    text = " ".join(Reader(paths.REPORT_PAGE.read_text()).text.split())
    assert len(re.findall("no picture could be made", text)) == 6  # pages, groups and pairs of two runs
    assert re.search("5 synthetic images .{1,3}no synthetic image on the disk", text)
    assert "lost 2 lynx; 1 picture left out, the files are not there" in text


def test_backticks_are_code(page: str) -> None:
    """What the gate writes between backticks is shown as code; a lone backtick is a character."""
    code = build.judgement("wild-2", "wild", 2, notes=("set `train.seeds` to <2>", "a ` alone"))
    judgements.write(RunPaths("wild-2").gate, code)
    report.main()
    html = paths.REPORT_PAGE.read_text()
    assert "set <code>train.seeds</code> to &lt;2&gt;" in html
    assert "a ` alone" in html


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


def test_no_generation_yet(folder: Path) -> None:
    """With the base run alone there is a report, which says so, and the folder of verdicts is there for it to read."""
    build.project(folder)
    arms, _ = build.two_arms()
    files.write_text(paths.PARAMS, build.settings_text(arms, {}))
    report.main()
    page = Reader(paths.REPORT_PAGE.read_text())
    assert "No generation was made yet." in page.text
    assert page.text.count("no run yet") == len(arms)
    assert "- **tame**: no run yet." in paths.REPORT_SUMMARY.read_text()
    assert (ROOT / paths.GATES / "README.md").exists(), "without a folder of verdicts DVC stops before the report"


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
    figures = json.loads((paths.REPORT_PLOTS / report_files.RUNS).read_text())
    assert figures["base"]["recall"]["lynx " + HOSTILE] == 0.9
    assert list(json.loads(paths.REPORT_METRICS.read_text())) == ["base run", "tame " + HOSTILE, "wild " + HOSTILE]
    assert "<script" not in paths.REPORT_SUMMARY.read_text()


def test_metrics_are_finite(page: str) -> None:
    """Every number of the metrics is finite."""

    def numbers(value: object) -> list[float]:
        if isinstance(value, dict):
            return [number for one in value.values() for number in numbers(one)]
        return [float(value)] if isinstance(value, int | float) else []

    found = numbers(json.loads((paths.REPORT_PLOTS / report_files.RUNS).read_text()))
    of_all, of_runs, of_synthetic = 5 + 3, 1, 4
    assert len(found) == 4 * of_all + 3 * (of_runs + of_synthetic)
    assert all(math.isfinite(number) for number in found)


def test_metrics_are_few_and_of_the_newest_runs(page: str) -> None:
    """The columns of `dvc exp show` are some of the base run and of each arm's newest run, not of every run."""
    metrics = json.loads(paths.REPORT_METRICS.read_text())
    assert metrics == {
        "base run": {"map50_95": metrics["base run"]["map50_95"], "rare_recall": 0.9},
        "tame": {"verdict": "HEALTHY", "generation": 1, "map50_95": metrics["tame"]["map50_95"], "rare_recall": 0.9,
                 "largest_loss": 0.0},
        "wild": {"verdict": "COLLAPSING", "generation": 2, "map50_95": 0.4, "rare_recall": 0.3,
                 "largest_loss": metrics["wild"]["largest_loss"]},
    }  # fmt: skip
    assert metrics["wild"]["largest_loss"] > 0.1


def test_page_shows_the_rarest_class_over_the_generations(page: str) -> None:
    """Each arm has a strip of real objects of the class that is rarest on the real images, then one a run."""
    alts = [image["alt"] or "" for image in Reader(page).of("img")]
    names = [alt.removeprefix("objects labelled cat, ") for alt in alts if alt.startswith("objects labelled ")]
    assert names == ["base", "tame-1", "base", "wild-1", "wild-2"]
    assert "cat, generation by generation" in Reader(page).text


def test_strips_of_images_that_are_gone(page: str) -> None:
    """A run whose images left the disk has a dash in place of its strip, and the page is written."""
    shutil.rmtree(RunPaths("wild-2").synthetic / "images")
    report.main()
    alts = [image["alt"] or "" for image in Reader(paths.REPORT_PAGE.read_text()).of("img")]
    assert "objects labelled cat, wild-1" in alts
    assert "objects labelled cat, wild-2" not in alts
    assert "no object on the disk" in paths.REPORT_PAGE.read_text()


def test_page_shows_class_shares_as_a_stream(page: str) -> None:
    """Each arm with a run has a stream of its class shares, which says in words how they went."""
    labels = [svg["aria-label"] or "" for svg in Reader(page).of("svg") if "aria-label" in svg]
    assert [one for one in labels if one.startswith("Class shares of ")] == [
        "Class shares of tame, generations 0 to 1: cat from 90.0% to 81.8%; lynx from 10.0% to 18.2%",
        "Class shares of wild, generations 0 to 2: cat from 90.0% to 100.0%; lynx from 10.0% to 0.0%",
    ]


def test_missing_verdict_is_a_users_error(page: str) -> None:
    """A run without its verdict is named, and the old report stays."""
    RunPaths("wild-2").gate.unlink()
    with pytest.raises(UserError, match=r"gate/wild-2\.json is missing"):
        report.main()
    assert paths.REPORT_PAGE.exists()


def test_chart_alone_is_an_svg_file() -> None:
    """The picture for the README is well-formed, has no date and names its arms."""
    chart = LineChart(
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


def texts(svg: str) -> list[str]:
    """The texts of a chart."""
    return [text.strip() for text in re.findall(r"<text[^>]*>([^<]*)</text>", svg)]


def test_chart_of_a_vanishing_class() -> None:
    """A class that is gone has 0 boxes on a logarithmic axis; the need is named, and the chart ends soon enough."""
    absent = Figure(value=None, reason="steady")
    far = Figure(value=90.0, low=60.0, samples=1000)
    chart = DeclineChart(
        declines=(
            Decline(number=0, boxes=(500, 40, 0), half_life=Figure(value=0.5, low=0.4, high=0.7), crossing=far),
            Decline(number=1, boxes=(500, 510), half_life=absent, crossing=absent),
        ),
        need=20,
    )
    svg = charts.inline(chart, name="a", alt="vanishing")
    assert {"0", "1,000", "need 20", "14"} <= set(texts(svg))
    assert "90" not in texts(svg)
    assert "var(--arm-0" in svg
    assert "var(--arm-1" in svg


def test_reliability_diagram_leaves_absent_bins_out() -> None:
    """A bin without detections has no point, and a perfect one lies on the diagonal's ends."""
    known = ReliabilityBin(low=0.5, high=1.0, predicted=0.9, observed=Figure(value=0.9, low=0.8, high=0.95))
    empty = ReliabilityBin(low=0.0, high=0.5, predicted=0.2, observed=Figure(value=None, reason="no detection"))
    both = charts.inline(ReliabilityChart(base=(), bins=(empty, known), number=0), name="a", alt="x")
    assert both == charts.inline(ReliabilityChart(base=(), bins=(known,), number=0), name="a", alt="x")
    assert {"confidence", "precision"} <= set(texts(both))


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
        folded = tab.locator("details:not([open]) > summary")
        while folded.count():  # those within others come later, when those are open
            folded.first.click()
        wide, room = tab.evaluate("[document.documentElement.scrollWidth, window.innerWidth]")
        headings = tab.locator("h2.verdict").all()
        verdicts = [heading.inner_text().split()[-1] for heading in headings if heading.is_visible()]
        decoded = tab.evaluate("[...document.images].every(image => image.complete && image.naturalWidth > 0)")
        browser.close()
    assert problems == []
    assert wide <= room
    assert verdicts == ["Healthy", "Collapsing"]
    assert decoded
