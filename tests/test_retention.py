"""Runs leave, are pruned and come back: on a project with a real DVC cache and remote, but without trainings."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from pipeline import cli, promoting, retention
from pipeline.adapters import dvc_files
from pipeline.adapters.dvc_store import Store
from pipeline.core import appending, current, files, history, judgements, params, paths, synthetic_past
from pipeline.core.errors import UserError
from pipeline.core.judgements import Verdict
from pipeline.core.params import Params
from pipeline.core.paths import RunPaths
from tests import report_builders as build
from tests import retention_builders as project

# DVC's own use of pygtrie.
pytestmark = pytest.mark.filterwarnings("ignore:_NoneStep:DeprecationWarning")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def night() -> Params:
    """What a night does about retirement, without a new generation."""
    retention.finish(params.load())
    retired = retention.retire(params.load())
    text = appending.edited(paths.PARAMS.read_text(), add={}, remove=retired.leaving, anchors=retired.anchors)
    files.write_text(paths.PARAMS, text)
    after = params.load()
    retention.finish(after)
    return after


def folders(stage: str) -> set[str]:
    """The runs that have a folder of a stage."""
    return {path.name for path in Path("data", stage).iterdir()}


def test_old_runs_leave(folder: Path) -> None:
    """Two of four stay, the one before them as an anchor; the oldest leaves its images, for those may be trained on."""
    project.create(4)
    after = night()
    assert list(after.runs) == ["tame-3", "tame-4"]
    assert list(after.anchors) == ["tame-2"]
    assert params.ancestry(after, "tame-4") == ["tame-4", "tame-3"]
    for stage in ("mix", "train", "audit", "confirm"):
        assert folders(stage) - {"base"} == {"tame-2", "tame-3", "tame-4"}
    assert folders("generate") == {"tame-1", "tame-2", "tame-3", "tame-4"}
    assert folders("gate") == {"tame-3.json", "tame-4.json"}
    kept = {name.partition("@")[2] for name in dvc_files.stage_outs()}
    assert kept == {"", "tame-3", "tame-4"}


def test_dvc_agrees(folder: Path) -> None:
    """DVC finds what it tracks as it was: no output twice, nothing changed, nothing to be had from elsewhere."""
    project.create(4)
    night()
    from dvc.repo import Repo

    with Repo(".") as repo:
        repo.index.check_graph()
        of_anchors = [out for out in repo.index.outs if out.stage.path_in_repo == str(paths.ANCHORS)]
        assert {str(out) for out in of_anchors} == {
            *(str(path) for path in RunPaths("tame-2").outs[:5]),
            str(RunPaths("tame-1").synthetic),
        }
        assert [out.status() for out in of_anchors] == [{}] * 6


def test_what_stays_of_a_run(folder: Path) -> None:
    """Verdict, figures, descent, weights and the versions of its files are on record."""
    project.create(4)
    audit, outs = build.audit("tame-1", "tame", 1), dvc_files.stage_outs()
    night()
    one = history.read("tame-1")
    assert (one.run, one.arm, one.generation, one.previous, one.verdict) == ("tame-1", "tame", 1, "base", "HEALTHY")
    assert (one.map50_95, one.map50, one.test) == (audit.map50_95, audit.map50, audit.test)
    assert [(rare.name, rare.support, rare.found) for rare in one.rare] == [
        (rare.name, rare.support, rare.found) for rare in audit.rare
    ]
    assert one.rare[0].recall.low == pytest.approx(audit.rare[0].recall.low)
    assert one.warnings == ("vanishing-class",)
    assert one.weights.md5 == project.md5("the weights of tame-1")
    assert {out for stage in paths.RUN_STAGES for out in outs[f"{stage}@tame-1"]} == set(one.outs)
    assert history.read("tame-2").images_of == ("tame-1", "tame-2")
    assert set(history.retired(params.load().runs)) == {"tame-1", "tame-2"}


def test_a_second_time_changes_nothing(folder: Path) -> None:
    """A night that retires nothing leaves every file as it is."""
    project.create(4)
    night()
    before = project.tree("data", "models"), paths.DVC_LOCK.read_bytes(), paths.PARAMS.read_bytes()
    night()
    assert (project.tree("data", "models"), paths.DVC_LOCK.read_bytes(), paths.PARAMS.read_bytes()) == before


class _Killed(BaseException):
    """The process ends here."""


@contextmanager
def killed_at(number: int, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """End the process before the change of that number to a file or a folder, from 0."""
    left = [number]

    def wrapped(real: Any) -> Any:
        def change(*args: Any, **more: Any) -> Any:
            if not left[0]:
                raise _Killed
            left[0] -= 1
            return real(*args, **more)

        return change

    with monkeypatch.context() as patch:
        patch.setattr(files, "write_bytes", wrapped(files.write_bytes))
        patch.setattr(shutil, "rmtree", wrapped(shutil.rmtree))
        patch.setattr(Path, "unlink", wrapped(Path.unlink))
        yield


@pytest.fixture
def before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project before its night, to be copied."""
    (tmp_path / "fresh").mkdir()
    monkeypatch.chdir(tmp_path / "fresh")
    project.create(4)
    return tmp_path / "fresh"


def state_after(before: Path, monkeypatch: pytest.MonkeyPatch, *, cut: int | None) -> object:
    """All that a night leaves, after one that was killed before that change; None where it made fewer."""
    folder = before.parent / "cut"
    shutil.copytree(before, folder)
    monkeypatch.chdir(folder)
    killed = False
    if cut is not None:
        try:
            with killed_at(cut, monkeypatch):
                night()
        except _Killed:
            killed = True
    night()
    found = project.tree("data"), paths.DVC_LOCK.read_bytes(), paths.PARAMS.read_bytes()
    monkeypatch.chdir(before)
    shutil.rmtree(folder)
    return found if killed or cut is None else None


@pytest.mark.parametrize("cut", [1, 3, 6], ids=["in the history", "after params.yaml", "in the folders"])
def test_killed(before: Path, monkeypatch: pytest.MonkeyPatch, cut: int) -> None:
    """A retirement that is cut off comes to the same end in the next night."""
    wanted = state_after(before, monkeypatch, cut=None)
    assert state_after(before, monkeypatch, cut=cut) == wanted


@pytest.mark.slow
def test_killed_at_any_point(before: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """So it is before each file that it writes or removes, and each folder."""
    wanted = state_after(before, monkeypatch, cut=None)
    reached = 0
    while (found := state_after(before, monkeypatch, cut=reached)) is not None:
        assert found == wanted, reached
        reached += 1
    assert reached >= 10


def test_a_run_that_differs_from_the_lock_stays(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Of a run whose verdict is not the one that DVC knows, nothing is put on record; it is said."""
    project.create(4)
    judgements.write(RunPaths("tame-1").gate, build.judgement("tame-1", "tame", 1, Verdict.COLLAPSING))
    after = night()
    assert list(after.runs) == ["tame-1", "tame-3", "tame-4"]
    assert list(after.anchors) == ["tame-2"]
    assert "tame-1 stays in params.yaml: it is not finished" in capsys.readouterr().err


def test_files_that_are_nowhere_else_stay(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A folder whose files the cache has lost is not removed from the workspace."""
    project.create(4, remote=False)
    gate = dvc_files.stage_outs()["gate@tame-1"][0]
    lost = project.CACHE / gate.md5[:2] / gate.md5[2:]
    lost.unlink()
    night()
    assert RunPaths("tame-1").gate.exists()
    assert not RunPaths("tame-2").gate.exists()
    assert "data/gate/tame-1.json stays on the disk: 1 of its files are neither in" in capsys.readouterr().err


def test_images_that_leave_are_still_known(folder: Path) -> None:
    """When a run's images leave the disk, their portraits stay."""
    project.create(6)
    night()
    assert not RunPaths("tame-1").synthetic.exists()
    assert {one.run for one in synthetic_past.everything()} >= {"tame-1", "tame-2"}
    assert all(one.portrait.sketches for one in synthetic_past.everything() if one.run == "tame-1")


def test_prune_takes_what_the_remote_has(folder: Path) -> None:
    """The oldest runs' objects leave the cache; all that anything else uses stays, and a dry run removes nothing."""
    project.create(6)
    project.push()
    night()
    before = project.cached()
    dry = retention.prune(dry_run=True)
    assert set(dry.removed) == {"tame-1", "tame-2"}
    assert all(size > 0 for size in dry.removed.values())
    assert project.cached() == before
    done = retention.prune()
    assert done.removed == dry.removed
    assert set(done.kept) == {"tame-3", "tame-4"}
    gone = before - project.cached()
    assert {one.weights.md5 for one in (history.read("tame-1"), history.read("tame-2"))} <= gone
    for name, outs in dvc_files.stage_outs().items():
        assert all(set(Store().objects(out) or ()) <= project.cached() for out in outs), name
    assert retention.prune().removed == {}


def test_what_was_never_pushed_is_pushed(folder: Path) -> None:
    """A run that retired before it was pushed is tracked by nothing any more: it is pushed by itself, then pruned."""
    project.create(6)
    night()
    before = project.cached()
    dry = retention.prune(dry_run=True)
    assert set(dry.missing) == {"tame-1", "tame-2"}
    assert "tame-1: the remote lacks" in retention.as_text(dry)
    assert "which would be brought there first" in retention.as_text(dry)
    assert not project.REMOTE.exists()
    assert project.cached() == before
    done = retention.prune()
    assert (set(done.removed), done.missing) == ({"tame-1", "tame-2"}, {})
    assert not project.cached() & {history.read("tame-1").weights.md5}
    retention.restore("tame-1")
    assert RunPaths("tame-1").weights.read_bytes() == b"the weights of tame-1"


def test_what_the_remote_lost_is_pushed_again(folder: Path) -> None:
    """What was pushed once and is gone from the remote is brought there again before the run is pruned."""
    project.create(6)
    project.push()
    night()
    weights = history.read("tame-1").weights.md5
    away = project.REMOTE / "files/md5" / weights[:2] / weights[2:]
    away.chmod(0o644)
    away.unlink()
    assert retention.prune(dry_run=True).missing == {"tame-1": 1}
    assert set(retention.prune().removed) == {"tame-1", "tame-2"}
    assert away.read_bytes() == b"the weights of tame-1"


def test_prune_leaves_a_run_that_the_remote_lacks(folder: Path) -> None:
    """With an object that is nowhere any more, all else of that run stays, it is said which, and the others go."""
    project.create(6)
    project.push()
    night()
    weights = history.read("tame-1").weights.md5
    for store in (project.REMOTE / "files/md5", project.CACHE):
        (store / weights[:2] / weights[2:]).unlink()
    before = {one for out in history.read("tame-1").outs for one in Store().objects(out) or ()} & project.cached()
    done = CliRunner().invoke(cli.main, ["prune"])
    assert done.exit_code == 0, done.output
    assert "tame-1: the remote lacks 1 file of it, which could not be brought there, so it stays whole" in done.output
    assert "tame-2: removed" in done.output
    assert before
    assert before <= project.cached()


def test_prune_without_a_remote(folder: Path) -> None:
    """It removes nothing and says why."""
    project.create(6, remote=False)
    night()
    before = project.cached()
    done = CliRunner().invoke(cli.main, ["prune"])
    assert done.exit_code == 0, done.output
    assert "Nothing is removed: there is no DVC remote" in done.output
    assert project.cached() == before


def test_prune_in_a_shared_cache(folder: Path) -> None:
    """Other projects may need what this one does not."""
    project.create(6)
    project.push()
    night()
    with Path(".dvc/config").open("a") as config:
        config.write("[cache]\n    shared = group\n")
    pruned = retention.prune()
    assert (pruned.removed, "other projects share" in pruned.refused) == ({}, True)


def test_restored_and_pruned_again(folder: Path) -> None:
    """Every file comes back as it was, from the remote; DVC does not see it; pruning takes it away again."""
    project.create(6)
    project.push()
    before = {str(path): project.tree(str(path)) for path in RunPaths("tame-1").outs if path.is_dir()}
    night()
    after = project.tree("data")
    retention.prune()
    done = CliRunner().invoke(cli.main, ["restore", "tame-1"])
    assert done.exit_code == 0, done.output
    assert {path: project.tree(path) for path in before} == before
    assert judgements.read(RunPaths("tame-1").gate).run == "tame-1"
    from dvc.repo import Repo

    with Repo(".") as repo:
        seen = {Path(path).relative_to(folder / "data") for path in repo.dvcignore.find(repo.fs, str(folder / "data"))}
    assert {path for path in seen if "tame-1" in str(path)} == {Path("history/tame-1.json")}
    assert set(retention.prune().removed) == {"tame-1"}
    assert project.tree("data") == after


def test_restore_says_what_is_missing(folder: Path) -> None:
    """A run that is nowhere whole is not half restored; another name is named."""
    project.create(6, remote=False)
    night()
    weights = history.read("tame-1").weights.md5
    (project.CACHE / weights[:2] / weights[2:]).unlink()
    with pytest.raises(UserError, match=r"1 files of tame-1 are missing in the DVC cache, and there is no remote"):
        retention.restore("tame-1")
    assert not RunPaths("tame-1").mix.exists()
    with pytest.raises(UserError, match="no retired run 'tame-11'; did you mean"):
        retention.restore("tame-11")
    with pytest.raises(UserError, match=r"tame-6 is in params\.yaml"):
        retention.restore("tame-6")


def test_a_damaged_file_is_not_restored(folder: Path) -> None:
    """Bytes that are not those of the record are refused by name."""
    project.create(6, remote=False)
    night()
    weights = history.read("tame-1").weights.md5
    stored = project.CACHE / weights[:2] / weights[2:]
    stored.chmod(0o644)
    stored.write_bytes(b"rot")
    with pytest.raises(UserError, match=r"data/train/tame-1/weights\.pt: damaged in the DVC cache"):
        retention.restore("tame-1")
    assert not RunPaths("tame-1").train.exists()


def test_the_newest_healthy_run_is_promoted(folder: Path) -> None:
    """Its weights lie in models/current, and DVC tracks them as they are; other verdicts change nothing."""
    project.create(3)
    (one,) = promoting.promote_healthy(params.load())
    assert (one.now.run, one.now.verdict, one.now.by_hand) == ("tame-3", "HEALTHY", False)
    assert current.weights_path("tame").read_bytes() == b"the weights of tame-3"
    from dvc.repo import Repo

    with Repo(".") as repo:
        (out,) = [out for out in repo.index.outs if out.stage.path_in_repo.startswith("models")]
        assert (out.status(), out.hash_info.value) == ({}, project.md5("the weights of tame-3"))
    assert promoting.promote_healthy(params.load()) == (one,)
    judgements.write(RunPaths("tame-3").gate, build.judgement("tame-3", "tame", 3, Verdict.COLLAPSING))
    current.path("tame").unlink()
    assert promoting.promote_healthy(params.load()) == ()


def test_by_hand(folder: Path) -> None:
    """A person promotes a run that is not healthy, with a reason, and goes back; a night leaves that as it is."""
    project.create(3)
    promoting.promote_healthy(params.load())
    judgements.write(RunPaths("tame-2").gate, build.judgement("tame-2", "tame", 2, Verdict.COLLAPSING))
    command = ["promote", "tame-2", "--reviewer", "Ada"]
    refused = CliRunner().invoke(cli.main, command)
    assert (refused.exit_code, "COLLAPSING. Say with --reason" in refused.output) == (1, True)
    done = CliRunner().invoke(cli.main, [*command, "--reason", "the lynx were dogs"])
    assert done.exit_code == 0, done.output
    state = current.read("tame")
    assert state
    assert (state.now.run, state.now.by, state.now.reason) == ("tame-2", "Ada", "the lynx were dogs")
    assert current.weights_path("tame").read_bytes() == b"the weights of tame-2"
    done = CliRunner().invoke(cli.main, ["rollback", "--reviewer", "Ada"])
    assert done.exit_code == 0, done.output
    assert current.weights_path("tame").read_bytes() == b"the weights of tame-3"
    assert [one.now.run for one in promoting.promote_healthy(params.load())] == ["tame-3"]


def test_a_withdrawn_run_is_not_promoted_again(folder: Path) -> None:
    """After a rollback from the newest run, a night does not promote it once more."""
    project.create(3)
    promoting.promote("tame-2", reviewer="Ada", reason="")
    promoting.promote_healthy(params.load())
    promoting.rollback("tame", reviewer="Ada", reason="blind at night")
    (one,) = promoting.promote_healthy(params.load())
    assert (one.now.run, one.withdrawn) == ("tame-2", ("tame-3",))


def test_a_retired_run_is_promoted_from_the_remote(folder: Path) -> None:
    """Its weights come from where they are; where they are nowhere, nothing changes."""
    project.create(6)
    project.push()
    night()
    retention.prune()
    promoting.promote("tame-1", reviewer="Ada", reason="")
    assert current.weights_path("tame").read_bytes() == b"the weights of tame-1"
    assert "tame-1" in retention.prune().kept
    shutil.rmtree(project.REMOTE)
    with pytest.raises(UserError, match=r"the weights of tame-2.*Nothing was changed"):
        promoting.promote("tame-2", reviewer="Ada", reason="")
    state = current.read("tame")
    assert state
    assert state.now.run == "tame-1"


@pytest.mark.parametrize(
    ("call", "said"),
    [
        pytest.param(lambda: promoting.promote("tame-33", reviewer="Ada", reason=""), "no run 'tame-33'", id="run"),
        pytest.param(lambda: promoting.promote("tame-3", reviewer="nightly", reason=""), "a person's name", id="name"),
        pytest.param(lambda: promoting.rollback("tume", reviewer="Ada", reason=""), "did you mean 'tame'", id="arm"),
        pytest.param(lambda: promoting.rollback(None, reviewer="Ada", reason=""), "no run was promoted", id="nothing"),
    ],
)
def test_mistakes_are_named(folder: Path, call: Any, said: str) -> None:
    """Each has its sentence."""
    project.create(3)
    with pytest.raises(UserError, match=said):
        call()


def test_weights_that_are_cut_off_are_mended(folder: Path) -> None:
    """Killed after the JSON was written, the next night brings weights and DVC's file in line with it."""
    project.create(3)
    promoting.promote_healthy(params.load())
    state = current.read("tame")
    assert state
    current.write(replace(state, now=replace(state.now, run="tame-2", weights=replace(
        state.now.weights, md5=project.md5("the weights of tame-2")))))  # fmt: skip
    judgements.write(RunPaths("tame-3").gate, build.judgement("tame-3", "tame", 3, Verdict.INCONCLUSIVE))
    promoting.promote_healthy(params.load())
    assert current.weights_path("tame").read_bytes() == b"the weights of tame-2"
