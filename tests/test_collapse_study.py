"""The collapse study: its grid, what a cut-off leaves, what its tables and its page say."""

from __future__ import annotations

import json
import os
import re
import runpy
import shutil
import socket
import subprocess
import sys
import threading
import time
import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import yaml
from click.testing import CliRunner
from scipy import stats

from pipeline.adapters import dvc_mending
from pipeline.chains import stages
from pipeline.chains.inputs import GRAPH
from pipeline.chains.steps import execute
from pipeline.core import files, params, paths
from pipeline.core.errors import UserError
from pipeline.core.figures import Figure
from studies.collapse import (
    claims,
    crops,
    drawing,
    engines,
    graph,
    inputs,
    making,
    measuring,
    page,
    places,
    ray_engine,
    settings,
    summarising,
    tables,
    work,
)
from studies.collapse.__main__ import main
from studies.collapse.claims import Claim, Tables
from studies.collapse.settings import Cell
from studies.collapse.summarising import BASE, ClassRow, GenerationRow
from tests import builders, study_builders
from tests.project import ROOT
from tests.study_builders import PLACES, Runner, make

CELL = Cell(policy="replace", ratio=1.0, labels="layout", generator="mixture", seed=1)


# The grid


def test_cells_are_those_of_the_grid(monkeypatch: pytest.MonkeyPatch) -> None:
    """The committed list that dvc.yaml goes through is the committed grid, multiplied out."""
    monkeypatch.chdir(ROOT)
    for one in places.present():
        assert one.cells.read_text() == settings.cells_text(settings.load(one.name))


def test_equal_cells_are_run_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ratio 0 is one cell a seed; a subsample at a ratio that is a number is the accumulating draw of that total."""
    monkeypatch.chdir(tmp_path)
    block = {
        "policies": ["replace", "accumulate", "accumulate-subsample"], "ratios": [0, 0.5],
        "labels": ["layout", "detector"], "generators": ["mixture", "copy_paste"],
    }  # fmt: skip
    found = settings.cells(study_builders.study(seeds=[4], grid=[block, block]))
    assert len(found) == 1 + 2 * 2 * 2
    assert "real-4" in found
    assert {cell.policy for cell in found.values()} == {"replace", "accumulate"}
    pool = block | {"policies": ["accumulate", "accumulate-subsample"], "ratios": ["pool"]}
    assert len(settings.cells(study_builders.study(seeds=[4], grid=[pool]))) == 2 * 2 * 2


@pytest.mark.parametrize(
    ("changes", "wanted"),
    [
        pytest.param({"grid": []}, "grid is empty", id="no block"),
        pytest.param({"generations": 0}, "generations 0, wanted at least 1", id="no generation"),
        pytest.param({"seeds": [1, 1]}, "wanted numbers, each once", id="a seed twice"),
        pytest.param({"grid": [study_builders.GRID | {"ratios": ["pool"]}]}, "`replace` has no pool", id="no pool"),
        pytest.param({"grid": [study_builders.GRID | {"ratios": [1.5]}]}, "ratio 1.5", id="no share"),
        pytest.param({"grid": [study_builders.GRID | {"generators": []}]}, "generators is empty", id="none"),
        pytest.param({"sedes": [1]}, "did you mean 'seeds'", id="misspelt"),
    ],
)
def test_bad_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any], wanted: str) -> None:
    """What cannot be a study is refused, with the file and the place."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError) as caught:
        study_builders.study(**changes)
    assert wanted in str(caught.value)
    assert str(PLACES.params) in str(caught.value)


def test_generators_of_one_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two files with generators of the same name would share a cell, so they are refused."""
    monkeypatch.chdir(tmp_path)
    block = study_builders.GRID | {"generators": ["a/mine.py:draw", "b/mine.py:draw"], "ratios": [1]}
    with pytest.raises(UserError, match="would both be called 'mine_draw'"):
        settings.cells(study_builders.study(grid=[block]))


def test_unknown_cell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cell that there is not is an error that names the nearest, by name and by pattern."""
    study = study_builders.ready(tmp_path, monkeypatch)
    with pytest.raises(UserError, match="did you mean 'replace-100-layout-mixture-1'"):
        settings.cell(study, "replace-10-layout-mixture-1")
    with pytest.raises(UserError, match="no cell is called 'reploce-"):
        settings.chosen(study, ("replace-*", "reploce-*"))
    assert list(settings.chosen(study, ("real-?",))) == ["real-1", "real-2"]
    found = CliRunner().invoke(main, ["cell", "nobody"])
    assert found.exit_code == 1
    assert "no cell 'nobody'" in found.output


def test_params_of_a_cell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cell's params.yaml is valid: a fixed total, a chain of generations with a seed each, the study's changes."""
    study = study_builders.ready(tmp_path, monkeypatch, project={"train": {"steps": 7}})
    value = work.arranged(study, replace(CELL, policy="accumulate", ratio=0.25))
    read = params.parse(yaml.safe_dump(value))
    assert (read.seed, read.mix.total, read.generate.images, read.train.steps) == (1, 12, 12, 7)
    assert read.arms[work.ARM].ratio == 0.25
    assert [(run.previous, run.seed) for run in read.runs.values()] == [("base", 1), ("g1", 2), ("g2", 3)]
    grows = params.parse(yaml.safe_dump(work.arranged(study, replace(CELL, policy="accumulate", ratio="pool"))))
    assert grows.mix.total == "all-real"


@pytest.mark.parametrize("section", ["arms", "runs", "seed"])
def test_what_is_the_studys_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, section: str) -> None:
    """What the study varies cannot be set beside it."""
    study = study_builders.ready(tmp_path, monkeypatch, project={section: {}})
    with pytest.raises(UserError, match=f"project.{section} is the study's own business"):
        settings.merged(study)


def test_a_misspelt_setting_of_the_project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the project would refuse is refused, with where it stands."""
    study = study_builders.ready(tmp_path, monkeypatch, project={"train": {"stesp": 7}})
    with pytest.raises(UserError, match=r"studies/collapse/params.yaml: project: train has no key 'stesp'; did you"):
        settings.merged(study)


# Studies beside the first


def test_stages_of_the_studies_beside_the_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """The committed dvc.yaml of every other study is the first one's, at its own places and with its own commands."""
    monkeypatch.chdir(ROOT)
    others = [one for one in places.present() if one.name]
    assert others
    for one in others:
        assert one.pipeline.read_text() == graph.text(one)


def test_a_study_beside_the_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder with a params.yaml is a study: `plan` writes its cells and stages, and leaves the first alone."""
    first = study_builders.ready(tmp_path, monkeypatch)
    shutil.copyfile(ROOT / PLACES.pipeline, PLACES.pipeline)
    before = PLACES.pipeline.read_text()
    other = places.Places(name="mine")
    value = yaml.safe_load(PLACES.params.read_text()) | {"generations": 1, "seeds": [7]}
    files.write_text(other.params, yaml.safe_dump(value))
    done = CliRunner().invoke(main, ["--study", "mine", "plan"])
    assert done.exit_code == 0, done.output
    assert "real-7" in done.output
    stages = yaml.safe_load(other.pipeline.read_text())["stages"]
    assert stages["cell"]["do"]["cmd"] == "cd ../../.. && python -m studies.collapse --study mine cell ${key}"
    assert stages["cell"]["do"]["deps"][0] == "../../../pipeline/chains/inputs.py"
    assert stages["cell"]["do"]["outs"] == ["made/cells/${key}"]
    assert stages["table"]["deps"][0] == "../drawing.py"
    assert (PLACES.pipeline.read_text(), PLACES.cells.exists()) == (before, False)
    study = settings.load("mine")
    assert study.places.work != first.places.work
    assert tables.digest(study) == tables.digest(replace(first, generations=1, seeds=(7,)))


@pytest.mark.parametrize("name", ["bcdc", "results", "../x", "a/b"])
def test_no_such_study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """A study that there is not is an error that says which there are, and nothing is written."""
    study_builders.ready(tmp_path, monkeypatch)
    shutil.copytree(PLACES.here, PLACES.here / "bccd")
    found = CliRunner().invoke(main, ["--study", name, "plan"])
    assert found.exit_code == 1
    assert re.search(f"no study '{re.escape(name)}'.*there are: bccd", found.output.replace("\n", " "))
    assert not PLACES.cells.exists()


def test_a_source_that_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the images are missing, the run says so before it begins."""
    dataset = {"source": "voc", "path": "data/nowhere", "verified": "all", "seed": 1, "title": "Nothing"}
    study_builders.ready(tmp_path, monkeypatch, dataset=dataset)
    found = CliRunner().invoke(main, ["run"])
    assert found.exit_code == 1
    assert "dataset.path: data/nowhere is not in" in found.output


# What stages rest on


def test_inputs_change_with_what_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Code and settings that a cell's stages read change its inputs; those that they do not read leave them alone."""
    study = study_builders.ready(tmp_path, monkeypatch)
    for name in ("pipeline/a.py", "pipeline/b.py", "models/tiny.yaml", "data/outside/1.png", "generators/fog.py"):
        files.write_text(Path(name), name)
    deps = ["data/x", "${train.model}", "${generate.folder.path}", "generators"]
    graph = {one: {"cmd": "python -m pipeline.a", "deps": deps, "params": ["train", "seed"]}
             for group in inputs.GROUPS.values() for one in group}  # fmt: skip
    files.write_text(GRAPH, yaml.safe_dump({"stages": graph}))
    before = inputs.collect(study, "cells")
    assert list(before["code"]) == ["data/outside", "generators", "pipeline/a.py"]
    files.write_bytes(Path("generators/__pycache__/fog.pyc"), b"comes with an import")
    assert inputs.collect(study, "cells") == before
    assert list(before["settings"]) == ["train"]
    files.write_text(Path("pipeline/b.py"), "other")
    other = yaml.safe_load(paths.PARAMS.read_text())
    other["gate"]["alpha"] = 0.01
    paths.PARAMS.write_text(yaml.safe_dump(other))
    assert inputs.collect(study_builders.study(generations=9), "cells") == before
    for change in (
        Path("pipeline/a.py"),
        Path("models/tiny.yaml"),
        Path("data/outside/1.png"),
        Path("generators/fog.py"),
    ):
        files.write_text(change, "other")
        assert inputs.collect(study, "cells") != before
        files.write_text(change, str(change))
    assert inputs.collect(replace(study, project={"train": {"steps": 3}}), "cells") != before
    assert inputs.collect(replace(study, threads=2), "base") != inputs.collect(study, "base")


def test_a_grid_that_is_not_multiplied_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A changed grid whose cells nobody listed stops DVC's first stage: it would leave out the new ones."""
    study_builders.ready(tmp_path, monkeypatch)
    found = CliRunner().invoke(main, ["inputs"])
    assert found.exit_code == 1
    assert "Run `uv run python -m studies.collapse plan`" in found.output


# What a cut-off leaves


def test_a_cell_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cell that was cut off in its third generation goes on with that one, and makes what it would have made."""
    study = study_builders.ready(tmp_path, monkeypatch)
    third = f"{CELL.name}, generation 3 of 3"
    cut = Runner(fails=third)
    with pytest.raises(KeyboardInterrupt):
        making.advance_cell(study, CELL, cut)
    assert cut.ran[-1] == third
    assert not making.is_done(study, CELL)
    again = Runner()
    steps = making.advance_cell(study, CELL, again)
    assert again.ran == [third]
    assert making.is_done(study, CELL)
    making.write_cell(study, steps, CELL)
    assert [one.number for one in measuring.read(PLACES.made_cell(CELL.name)).generations] == [1, 2, 3]


def test_a_longer_cell_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One generation more is one training more."""
    making.advance_cell(study_builders.ready(tmp_path, monkeypatch), CELL, Runner())
    again = Runner()
    making.advance_cell(study_builders.study(generations=4), CELL, again)
    assert again.ran == [f"{CELL.name}, generation 4 of 4"]


def test_other_inputs_begin_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Generations of other code or settings are not gone on with: nothing of them is left."""
    study = study_builders.ready(tmp_path, monkeypatch)
    making.advance_cell(study, CELL, Runner())
    files.write_json(PLACES.inputs("cells"), {"settings": {"train": {"steps": 1}}, "code": {}})
    again = Runner()
    with pytest.raises(KeyboardInterrupt):
        making.advance_cell(study, CELL, Runner(fails=f"{CELL.name}, generation 1 of 3"))
    folder = PLACES.work_cell(CELL.name)
    left = [out for run in ("g1", "g2", "g3") for out in stages.outs(run).values() if (folder / out).exists()]
    assert left == []
    making.advance_cell(study, CELL, again)
    assert len(again.ran) == 3


def test_a_lost_base_is_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The work folder may be deleted: what a cell needs is made again."""
    study = study_builders.ready(tmp_path, monkeypatch)
    run = Runner()
    making.advance_cell(study, CELL, run)
    assert run.ran[0] == "the base of seed 1"


def test_a_stage_that_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a stage says last is what a person reads, with the log and what to do next."""
    study = study_builders.ready(tmp_path, monkeypatch)
    step = work.base(study, 1)
    with pytest.raises(UserError, match=r"the base of seed 1: .*real.parquet.*exit code 1; the log is .*log.txt"):
        execute(step, root=ROOT)


def test_others_go_on(capsys: pytest.CaptureFixture[str]) -> None:
    """Where one cell fails, the others are made, and the failed one is told with its reason."""
    done = []

    def fail() -> None:
        raise UserError("no pages")

    with pytest.raises(UserError, match="1 of 3 failed, the others are done:\n  two: no pages"):
        engines.each({"one": lambda: done.append(1), "two": fail, "three": lambda: done.append(3)}, jobs=1)
    assert done == [1, 3]
    assert "two FAILED" in capsys.readouterr().err


SLEEPER = """
import os, pathlib, time
pathlib.Path("pid").write_text(str(os.getpid()))
time.sleep(600)
"""
DRIVER = """
from functools import partial
from pathlib import Path
from pipeline.chains.steps import Step, execute
from studies.collapse import engines
step = Step(folder=Path("cell"), run="g1", key="", threads=1, what="a cell")
engines.each({"a cell": partial(execute, step, root=Path("elsewhere"))}, jobs=1)
"""


def test_a_lock_file_that_was_cut_short(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a DVC that was killed left half written is removed and told; whole files, and conflicts of git, are not."""
    study = study_builders.ready(tmp_path, monkeypatch)
    lock = PLACES.pipeline.with_suffix(".lock")
    assert list(engines.mend(study)) == []
    for whole in ("schema: '2.0'\nstages: {}\n", "<<<<<<< ours\nschema: '2.0'\n"):
        files.write_text(lock, whole)
        assert list(engines.mend(study)) == []
        assert lock.exists()
    files.write_text(lock, "schema: '2.0'\nstages:\n  data:\n    cmd: 'python -m")
    rwlock = places.HERE / dvc_mending.RWLOCK
    files.write_text(rwlock, '{"read": {"/a')
    told = " ".join(engines.mend(study))
    assert "dvc.lock was cut short" in told
    assert "rwlock was left by a DVC" in told
    assert not lock.exists()
    assert not rwlock.exists()


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel of Linux ends a child with its parent")
def test_a_killed_engine_leaves_no_stage_behind(tmp_path: Path) -> None:
    """The stages of an engine that is killed end with it: the next one would work in the same folder."""
    for name, text in (("__init__", ""), ("chains/__init__", ""), ("chains/stages", SLEEPER)):
        files.write_text(tmp_path / f"elsewhere/pipeline/{name}.py", text)
    (tmp_path / "cell").mkdir()
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    engine = subprocess.Popen([sys.executable, "-c", DRIVER], cwd=tmp_path, env=environment)
    told = tmp_path / "cell/pid"
    while not (told.exists() and told.read_text()):
        assert engine.poll() is None
        time.sleep(0.05)
    stage = psutil.Process(int(told.read_text()))
    engine.kill()
    engine.wait()
    _, alive = psutil.wait_procs([stage], timeout=60)
    assert alive == []


# Elsewhere


def test_parcels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a step needs goes as one parcel, links followed; what it wrote comes back, the note that it is done last."""
    study = study_builders.ready(tmp_path, monkeypatch)
    for name in ("models/tiny.yaml", "generators/fog.py"):
        files.write_text(Path(name), name)
    making.advance_base(study, 1, Runner())
    step = work.steps(study, CELL)[0]
    sent = ray_engine.pack(step.folder, ray_engine.contents(step.folder))
    elsewhere = tmp_path / "elsewhere"
    ray_engine.unpack(sent, elsewhere)
    assert (elsewhere / "data/train/base/weights.pt").read_text() == "weights of the base of seed 1"
    for sent_once in ("data/real", "models", "generators"):
        assert (step.folder / sent_once).exists()
        assert not (elsewhere / sent_once).exists()
    Runner()(replace(step, folder=elsewhere))
    wanted = [stages.progress(step.run), *stages.outs(step.run).values()]
    assert not step.done
    ray_engine.receive(ray_engine.pack(elsewhere, wanted), step)
    assert step.done
    assert sorted(one.name for one in step.folder.iterdir() if one.name.startswith((".", "arrived"))) == []


def test_nobody_answers() -> None:
    """An address where nobody listens is an error within seconds, which says what to do."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound, but nobody listens
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        began = time.monotonic()
        with pytest.raises(UserError, match=f"no Ray cluster answers at {address}.*ray start --head"):  # noqa: SIM117
            with ray_engine.connected(address, Path()):
                pass
    assert time.monotonic() - began < ray_engine.ANSWER + 1


@pytest.mark.parametrize(
    ("said", "wanted"),
    [
        pytest.param(None, "timed out", id="mute"),
        pytest.param(b"", "something else than Ray", id="hangs up"),
        pytest.param(b"HTTP/1.1 400 Bad Request\r\n", "something else than Ray", id="a web server"),
    ],
)
def test_somebody_else_answers(monkeypatch: pytest.MonkeyPatch, said: bytes | None, wanted: str) -> None:
    """Where something else than Ray listens, that too is an error within seconds: Ray itself would try for minutes."""
    monkeypatch.setattr(ray_engine, "ANSWER", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"

        def serve() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(64)
                if said is None:
                    connection.recv(64)  # until the other side gives up
                else:
                    connection.sendall(said)

        other = threading.Thread(target=serve, daemon=True)
        other.start()
        with pytest.raises(UserError, match=f"no Ray cluster answers at {address}: {wanted}"):  # noqa: SIM117
            with ray_engine.connected(address, Path()):
                pass
        other.join(timeout=30)


@pytest.mark.parametrize("address", ["10.0.0.1", "here:there", "http://10.0.0.1:80/x", ":6379", ""])
def test_no_address(address: str) -> None:
    """What is no address is refused before anything is tried."""
    with pytest.raises(UserError, match="wanted HOST:PORT"), ray_engine.connected(address, Path()):
        pass


def test_an_address_for_processes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Processes run here: an address beside them is a mistake."""
    study = study_builders.ready(tmp_path, monkeypatch)
    with (
        pytest.raises(UserError, match="--address is for --engine ray"),
        engines.opened("processes", study, jobs=None, address="10.0.0.1:1"),
    ):
        pass


# Tables


@pytest.mark.parametrize(
    ("values", "wanted"),
    [
        pytest.param([0.5, 0.7, 0.9], stats.t.interval(0.95, 2, 0.7, 0.2 / np.sqrt(3)), id="three"),
        pytest.param([0.5, None, 0.7], stats.t.interval(0.95, 1, 0.6, 0.1), id="one is absent"),
        pytest.param([0.4], (None, None), id="one seed has no interval"),
    ],
)
def test_mean(values: list[float | None], wanted: tuple[float | None, float | None]) -> None:
    """Means have the interval of Student's t, over the seeds that have a value."""
    found = summarising.mean(values)
    assert found.low == pytest.approx(wanted[0])
    assert found.high == pytest.approx(wanted[1])


def test_mean_of_nothing() -> None:
    """Where no seed has a value, there is none, and it is said."""
    assert summarising.mean([None]).value is None


def results() -> dict[str, bytes]:
    """The files of the first study's results, by their names in there."""
    here = PLACES.results
    return {str(one.relative_to(here)): one.read_bytes() for one in here.rglob("*") if one.is_file()}


def test_tables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tables have a line a generation and class; they read back as they were written, and are the same again."""
    few: dict[str, Any] = {"crops": 2, "generations": 2, "grid": [study_builders.GRID | {"ratios": [0, 1]}]}
    study = study_builders.ready(tmp_path, monkeypatch, **few)
    make(study, Runner())
    tables.write(study)
    rows = summarising.read(PLACES.results / tables.GENERATIONS, GenerationRow)
    assert len(rows) == 2 + 2 * 3 * 2
    arms = {BASE, "real", "replace-100-layout-mixture", "accumulate-100-layout-mixture"}
    assert {row.arm for row in rows} == arms
    assert {row.vendi for row in rows if row.arm == "real"} == {None}  # what is made there is used by nobody
    assert len(summarising.read(PLACES.results / tables.CLASSES, ClassRow)) == 2 * len(rows)
    before = results()
    tables.write(study)
    assert results() == before
    assert max(len(data) for name, data in before.items() if name.endswith(".svg")) < 100_000
    drawn = {*drawing.CURVES.values(), drawing.HEAT, drawing.SHARES, drawing.OBJECTS}
    assert drawn <= set(before)
    for name in drawn:
        assert ET.fromstring(before[name]).tag.endswith("svg")  # noqa: S314 - written here
    shown = page.render()
    assert "not tested" in shown
    assert "![" in shown
    page.require_present(study)
    with pytest.raises(UserError, match="are of other settings"):
        page.require_present(study_builders.study(**few, threads=3))


def test_cells_of_other_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tables are not made of cells that rest on other settings than the present ones."""
    study = study_builders.ready(tmp_path, monkeypatch, seeds=[1])
    with pytest.raises(UserError, match="no cell of the grid is made yet"):
        tables.write(study)
    make(study, Runner())
    files.write_json(PLACES.inputs("cells"), {"settings": {"train": {"steps": 1}}, "code": {}})
    with pytest.raises(UserError, match=r"5 cells in .* are of other settings or code.*real-1"):
        tables.write(study)
    assert not PLACES.results.exists()


def test_a_damaged_table(tmp_path: Path) -> None:
    """A table that was edited is an error that names it."""
    path = tmp_path / "generations.csv"
    path.write_text("cell,arm\na,b\n")
    with pytest.raises(UserError, match="has other columns"):
        summarising.read(path, GenerationRow)


def test_docs_are_the_results(monkeypatch: pytest.MonkeyPatch) -> None:
    """The page is what the committed results give, to the letter: no number in it is typed."""
    monkeypatch.chdir(ROOT)
    assert places.PAGE.read_text() == page.render()


# Claims


def row(arm: str, number: int, value: float, *, seed: int = 1, policy: str = "", ratio: str = "") -> GenerationRow:
    """One line of the table, with nothing but its mAP50-95."""
    return GenerationRow(
        cell=f"{arm}-{seed}", arm=arm, policy=policy, ratio=ratio, labels="detector" if policy else "",
        generator="mixture" if policy else "", seed=seed, generation=number, map50_95=value, map50_95_low=None,
        map50_95_high=None, map50=value, map50_low=None, map50_high=None, rare_recall=value, real_images=1,
        synthetic_images=1, depth=1.0, exact=None, near_images=None, near_objects=None, copied_objects=None,
        vendi=None, coverage=None, lost_tail=None, seconds=1.0, processor=1.0, digest="",
    )  # fmt: skip


def lines(arm: str, policy: str, ratio: str, *values: float) -> list[GenerationRow]:
    """An arm over generations 1, 2, … with three seeds that differ a little."""
    return [
        row(arm, number, value + 0.001 * seed, seed=seed, policy=policy, ratio=ratio)
        for seed in (1, 2, 3)
        for number, value in enumerate(values, start=1)
    ]


def test_claims() -> None:
    """Each claim is the number that it says, worked out by hand."""
    rows = [row(BASE, 0, 0.8 + 0.001 * seed, seed=seed) for seed in (1, 2, 3)]
    rows += lines("real", "replace", "0", 0.8, 0.8)
    rows += lines("r1", "replace", "1", 0.7, 0.4) + lines("r9", "replace", "0.9", 0.78, 0.72)
    rows += lines("a", "accumulate", "pool", 0.75, 0.74) + lines("s", "accumulate-subsample", "pool", 0.75, 0.6)
    found = claims.against_theory(Tables(rows=rows, classes=[], labels="detector", generator="mixture"))
    values = [one.figure.value for one in found]
    # growth of r1; less that of a; s - r1; a - s; 1 - 0.08 / 0.4 - 0.5; ratio 0.9 is the nearest: 0.72 - 0.8
    assert values[:6] == [pytest.approx(one) for one in (0.3, 0.29, 0.2, 0.14, 0.3, -0.08)]
    assert [one.outcome for one in found] == [*["agrees"] * 5, "contradicts", "not tested", "not tested"]


def test_claims_of_classes() -> None:
    """The rare class lost 0.4 of its recall and the commonest gained 0.05, each beside its own base."""
    rows = [row(BASE, 0, 0.8, seed=seed) for seed in (1, 2)] + [
        row("r1", 1, 0.7, seed=seed, policy="replace", ratio="1") for seed in (1, 2)
    ]
    classes = [
        ClassRow(
            cell="", arm=arm, seed=seed, generation=number, name=name, rare=name == "rare", support=9, recall=recall,
            recall_low=None, recall_high=None, ap50_95=None, training_boxes=boxes, share=None,
        )
        for seed in (1, 2)
        for arm, number, name, recall, boxes in (
            (BASE, 0, "common", 0.9, 500), (BASE, 0, "rare", 0.8 + 0.01 * seed, 20),
            ("r1", 1, "common", 0.95, 90), ("r1", 1, "rare", 0.4 + 0.01 * seed, 900),
        )
    ]  # fmt: skip
    *_, rare, common = claims.against_theory(
        Tables(rows=rows, classes=classes, labels="detector", generator="mixture")
    )  # fmt: skip
    assert rare.figure.value == pytest.approx(0.4)
    assert common.figure.value == pytest.approx(0.05)


@pytest.mark.parametrize(
    ("low", "high", "wanted"),
    [(0.1, 0.3, "agrees"), (-0.3, -0.1, "contradicts"), (-0.1, 0.1, "open"), (None, None, "open")],
)
def test_outcomes(low: float | None, high: float | None, wanted: str) -> None:
    """An interval on one side of 0 decides; without one, nothing is decided."""
    claim = Claim(theory="", measured="", figure=Figure(value=0.1, low=low, high=high))
    assert claim.outcome == wanted


# Pictures


def test_strip(tmp_path: Path) -> None:
    """The strip has the first objects of the class, as many as asked for, and white where there are no more."""
    boxes = [builders.box(0, x=0.2), builders.box(1, x=0.7, width=0.2, height=0.2)]
    study_builders.write_pixels(tmp_path / "images/a.png", tmp_path / "labels/a.txt", boxes)
    rows = [builders.row("a", path="images/a.png", boxes=((0, 1), (1, 1)))]
    found = crops.strip(rows, tmp_path, 1, number=3)
    assert found.shape == (crops.SIDE, 3 * crops.SIDE, 3)
    assert found[:, : crops.SIDE].std() > 1
    assert (found[:, crops.SIDE :] == 255).all()
    assert (crops.strip(rows, tmp_path, 2, number=3) == 255).all()


# dvc.yaml


def _anyones(path: str) -> str:
    """A path with the seed or cell left open."""
    return re.sub(r"\$\{[^}]*\}", "*", path)


def test_pipeline() -> None:
    """Each dependency of the study's stages is there, or another of its stages makes it; what they make is small."""
    stages = yaml.safe_load((ROOT / PLACES.pipeline).read_text())["stages"]
    inner = [stage.get("do", stage) for stage in stages.values()]
    outs = [_anyones(out if isinstance(out, str) else next(iter(out))) for one in inner for out in one["outs"]]
    for one in inner:
        assert one["cmd"].split()[:6] == ["cd", "../..", "&&", "python", "-m", "studies.collapse"]
        assert one["cmd"].split()[6] in main.commands
        for dep in map(_anyones, one["deps"]):
            made = any(dep.startswith(out) or out.startswith(f"{dep}/") for out in outs)
            assert made or dep == "../../*" or (ROOT / places.HERE / dep).exists(), dep
    assert all(out.startswith(("made", "results")) for out in outs)


def test_scale_is_measured() -> None:
    """The table of the docs is that of the committed measurements."""
    scale = runpy.run_path(str(ROOT / "benchmarks/scale.py"))
    assert scale["table"](json.loads(scale["RESULT"].read_text())) in scale["PAGE"].read_text()
