"""A night sees what is half done in git, and commits its own files only."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from pipeline.adapters import git_state
from pipeline.core.errors import UserError


def git(*arguments: str) -> str:
    """Run git in the working directory."""
    done = subprocess.run(["git", *arguments], capture_output=True, text=True, check=False)
    return done.stdout.strip()


@pytest.fixture(autouse=True)
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository with a commit."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(tmp_path / "nobody"))
    git("init", "-q", "-b", "main")
    for key, value in (("user.name", "a tester"), ("user.email", "tester@example.org")):
        git("config", key, value)
    Path("params.yaml").write_text("seed: 1\n")
    Path("other.txt").write_text("one\n")
    git("add", ".")
    git("commit", "-qm", "first")
    return tmp_path


def look(*, commits: bool = False) -> git_state.State:
    """How the repository stands."""
    return git_state.look(commits=commits, watched=[Path("params.yaml"), Path("dvc.lock")])


def test_a_clean_repository() -> None:
    """There is nothing to say; a changed file is named, and is no problem."""
    assert look() == git_state.State(problems=(), changed=())
    Path("other.txt").write_text("two\n")
    assert look() == git_state.State(problems=(), changed=("other.txt",))


def test_a_merge_with_conflicts() -> None:
    """Both the merge and the file are named."""
    git("checkout", "-qb", "side")
    Path("params.yaml").write_text("seed: 2\n")
    git("commit", "-qam", "side")
    git("checkout", "-q", "main")
    Path("params.yaml").write_text("seed: 3\n")
    git("commit", "-qam", "main")
    git("merge", "side")
    assert [text.partition(":")[0] for text in look().problems] == [
        "a merge is not finished",
        "there are conflicts in params.yaml",
    ]
    git("add", ".")
    git("commit", "-qm", "with its marks")
    (problem,) = look().problems
    assert "marks of a conflict" in problem
    assert "params.yaml" in problem


def test_a_commit_needs_a_name_and_no_lock(repository: Path) -> None:
    """What would fail in the morning is said in the evening, where a commit is wanted."""
    git("config", "user.useConfigOnly", "true")
    git("config", "--unset", "user.email")
    (repository / ".git" / "index.lock").touch()
    assert look().problems == ()
    first, second = look(commits=True).problems
    assert "git knows no name" in first
    assert "index.lock is there" in second


def test_only_its_own_files_are_committed() -> None:
    """What a person has staged stays staged, and is not in the commit; the tag is on it."""
    Path("params.yaml").write_text("seed: 4\n")
    Path("new").mkdir()
    Path("new/record.json").write_text("{}\n")
    Path("empty").mkdir()
    Path("other.txt").write_text("two\n")
    git("add", "other.txt")
    files = [Path("params.yaml"), Path("new"), Path("empty"), Path("absent.lock")]
    short = git_state.commit(files, message="Night 1: HEALTHY", tag="tailwatch/1")
    assert git("show", "--name-only", "--format=%s", "HEAD").split("\n") == [
        "Night 1: HEALTHY",
        "",
        "new/record.json",
        "params.yaml",
    ]
    assert git("status", "--porcelain") == "M  other.txt"
    assert git("rev-parse", "--short", "tailwatch/1^{commit}") == short
    assert git_state.commit(files, message="again", tag="tailwatch/1") == short


def test_a_hook_that_refuses(repository: Path) -> None:
    """What git says is in the error."""
    hook = repository / ".git" / "hooks" / "pre-commit"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text("#!/bin/sh\necho not at night >&2\nexit 1\n")
    hook.chmod(0o755)
    Path("params.yaml").write_text("seed: 5\n")
    with pytest.raises(UserError, match="git commit: not at night"):
        git_state.commit([Path("params.yaml")], message="m", tag="t")
