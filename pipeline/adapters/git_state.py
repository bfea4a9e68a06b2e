"""What a night asks of git, and the commit that it may end with; nothing is ever pushed."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline.core.errors import UserError

_TIMEOUT = 300.0  # seconds; a hook of the project may take its time
_UNFINISHED = {
    "MERGE_HEAD": "a merge",
    "rebase-merge": "a rebase",
    "rebase-apply": "a rebase",
    "CHERRY_PICK_HEAD": "a cherry-pick",
    "REVERT_HEAD": "a revert",
}
_UNMERGED = {"DD", "AU", "UD", "UA", "DU", "AA", "UU"}
_MARK = "<<<<<<< "  # of a conflict, at the beginning of a line


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """How the repository stands.

    Attributes:
        problems: what has to be mended first, a sentence each.
        changed: files that differ from the last commit.
    """

    problems: tuple[str, ...]
    changed: tuple[str, ...]


def look(*, commits: bool, watched: Sequence[Path]) -> State:
    """See whether something is half done in the repository of the working directory.

    Args:
        commits: whether a commit is to be made; then there has to be a name for it, and no lock in the way.
        watched: files that must have no conflict's marks in them.
    """
    problems = []
    for name, what in _UNFINISHED.items():
        if Path(_git("rev-parse", "--git-path", name)).exists():
            problems.append(f"{what} is not finished: finish it, or give it up with git's --abort")
    entries = [line for line in _git("status", "--porcelain=v1", "-z", "--untracked-files=no").split("\0") if line]
    unmerged = [line[3:] for line in entries if line[:2] in _UNMERGED]
    if unmerged:
        problems.append(f"there are conflicts in {', '.join(unmerged[:3])}: resolve them, and `git add` them")
    marked = [str(path) for path in watched if str(path) not in unmerged and _has_mark(path)]
    if marked:
        problems.append(f"marks of a conflict ({_MARK.strip()}) are left in {', '.join(marked)}: resolve it")
    if commits:
        problems += _commit_problems()
    return State(problems=tuple(dict.fromkeys(problems)), changed=tuple(line[3:] for line in entries))


def commit(files: Sequence[Path], *, message: str, tag: str) -> str:
    """Commit these files and no others, whatever is staged, and tag it; the short name of the commit.

    Nothing is committed where they are as in the last commit; the tag is then put there, too.

    Args:
        files: that are there, or were and are known to git.
        message: of the commit.
        tag: its name; one that is there already is left alone.

    Raises:
        UserError: git refuses.
    """
    known = [str(path) for path in files if path.exists() or _git("ls-files", "--", str(path))]
    _git("add", "--all", "--", *known)
    changed = [name for name in _git("diff", "--cached", "--name-only", "-z", "--", *known).split("\0") if name]
    if changed:
        _git("commit", "--quiet", "--message", message, "--only", "--", *changed)
    if not _git("tag", "--list", tag):
        _git("tag", "--annotate", "--message", message, tag)
    return _git("rev-parse", "--short", "HEAD")


def _commit_problems() -> list[str]:
    problems = []
    try:
        _git("var", "GIT_COMMITTER_IDENT")
    except UserError:
        problems.append(
            "nightly.commit is on, and git knows no name: `git config user.name NAME`, `git config user.email ADDRESS`"
        )
    lock = Path(_git("rev-parse", "--git-path", "index.lock"))
    if lock.exists():
        problems.append(f"{lock} is there: another git command is at work, or was killed; when none is, remove it")
    return problems


def _has_mark(path: Path) -> bool:
    try:
        return any(line.startswith(_MARK) for line in path.read_text(errors="replace").splitlines())
    except OSError:
        return False


def _git(*arguments: str) -> str:
    try:
        done = subprocess.run(  # noqa: S603 - fixed commands
            ["git", *arguments], capture_output=True, text=True, errors="replace", timeout=_TIMEOUT, check=False,  # noqa: S607 - as users have it
            stdin=subprocess.DEVNULL,
            env={**os.environ, "LC_ALL": "C", "GIT_TERMINAL_PROMPT": "0", "GIT_EDITOR": "true"},
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired) as error:
        raise UserError(f"git {arguments[0]}: {error}") from None
    if done.returncode:
        lines = (done.stderr.strip() or done.stdout.strip()).splitlines()
        raise UserError(f"git {arguments[0]}: {lines[-1] if lines else f'exit code {done.returncode}'}")
    return done.stdout.strip("\n")
