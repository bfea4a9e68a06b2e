"""Where DVC keeps files: its cache, and the remotes that it is told of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pipeline.core.errors import UserError


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """What DVC's configuration says, all its levels together.

    Attributes:
        cache: folder of the local cache, absolute.
        shared: whether the cache is shared by a group of users.
        remotes: address of each remote, by its name; those in folders of this machine are absolute paths.
        default: name of the remote that is used where none is named.
    """

    cache: Path
    shared: bool
    remotes: Mapping[str, str]
    default: str | None

    def folder_of(self, remote: str) -> Path | None:
        """The folder of a remote on this machine; None where it is elsewhere."""
        url = self.remotes[remote].removeprefix("file://")
        return None if "://" in url else Path(url)


def read(folder: Path) -> Places:
    """Read the configuration of the DVC repository in a folder.

    Raises:
        UserError: there is none, or it cannot be read.
    """
    from dvc.exceptions import DvcException
    from dvc.repo import Repo

    try:
        with Repo(str(folder)) as repo:
            return Places(
                cache=Path(repo.config["cache"].get("dir") or folder / ".dvc" / "cache").absolute(),
                shared=repo.config["cache"].get("shared") == "group",
                remotes={name: str(remote["url"]) for name, remote in repo.config["remote"].items()},
                default=repo.config["core"].get("remote"),
            )
    except DvcException as error:
        raise UserError(f"{folder}: DVC says: {error}. Run this in the project's folder.") from None
