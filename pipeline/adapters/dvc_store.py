"""The DVC cache and the DVC remote, object by object; all that needs DVC's own Python API is here."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from pipeline.core import files
from pipeline.core.errors import UserError
from pipeline.core.history import Out

_FOLDER = ".dir"  # at the end of the MD5 of a list of files


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One file of an output: its path within it (empty where the output is a file), and its MD5."""

    path: str
    md5: str


class Store:
    """Cache and remote of the project in the working directory.

    Args:
        remote: name of the remote; None for the default one.
    """

    def __init__(self, remote: str | None = None) -> None:
        """Nothing is opened yet."""
        self._remote_name = remote
        self._entries: dict[str, tuple[Entry, ...]] = {}

    @cached_property
    def _repo(self) -> Any:
        os.environ.setdefault("DVC_NO_ANALYTICS", "1")
        from dvc.exceptions import DvcException
        from dvc.repo import Repo

        try:
            return Repo(".")
        except DvcException as error:
            raise UserError(f"DVC cannot open this project: {error}") from None

    @property
    def _cache(self) -> Any:
        return self._repo.cache.local

    @cached_property
    def _remote(self) -> Any:
        """The remote's objects; None where there is no remote."""
        from dvc.config import NoRemoteError, RemoteNotFoundError
        from dvc.exceptions import DvcException

        try:
            return self._repo.cloud.get_remote_odb(self._remote_name)
        except RemoteNotFoundError:
            raise UserError(
                f"there is no DVC remote {self._remote_name!r}, which params.yaml nightly.remote names; "
                f"there are: {', '.join(self._repo.config['remote']) or 'none'}."
            ) from None
        except NoRemoteError:
            return None
        except DvcException as error:
            raise UserError(f"the DVC remote cannot be used: {error}") from None

    @property
    def has_remote(self) -> bool:
        """Whether there is a remote.

        Raises:
            UserError: params.yaml names one that does not exist, or it cannot be used.
        """
        return self._remote is not None

    @property
    def is_shared(self) -> bool:
        """Whether other projects may have files in the cache (`cache.shared`, or a cache of another project)."""
        cache = Path(self._cache.path).resolve()
        return bool(self._repo.config["cache"].get("shared")) or (
            cache.parent.parent.name == "cache"
            and cache.parent.parent.parent.name == ".dvc"
            and cache.parent.parent.parent != (Path.cwd() / ".dvc").resolve()
        )

    def cached(self, objects: Iterable[str]) -> set[str]:
        """Those of the objects that are in the cache."""
        return {one for one in objects if Path(self._cache.oid_to_path(one)).exists()}

    def on_remote(self, objects: Collection[str]) -> set[str]:
        """Those of the objects that the remote has, each asked for; none where there is no remote.

        Raises:
            UserError: the remote does not answer.
        """
        if self._remote is None or not objects:
            return set()
        with _reached():
            return set(self._remote.oids_exist(set(objects))) & set(objects)

    def entries(self, out: Out) -> tuple[Entry, ...] | None:
        """The files of an output; None where neither cache nor remote has the list of them.

        Raises:
            UserError: the remote does not answer.
        """
        if not out.md5.endswith(_FOLDER):
            return (Entry(path="", md5=out.md5),)
        if out.md5 not in self._entries:
            raw = self._listing(out.md5)
            if raw is None:
                return None
            listed = json.loads(raw)
            self._entries[out.md5] = tuple(Entry(path=one["relpath"], md5=one["md5"]) for one in listed)
        return self._entries[out.md5]

    def objects(self, out: Out) -> tuple[str, ...] | None:
        """All objects of an output, the list of a folder's files last; None as in :meth:`entries`.

        Raises:
            UserError: the remote does not answer.
        """
        entries = self.entries(out)
        if entries is None:
            return None
        return (*dict.fromkeys(one.md5 for one in entries), *([out.md5] if out.md5.endswith(_FOLDER) else []))

    def _listing(self, md5: str) -> bytes | None:
        for place in (self._cache, self._remote):
            if place is None:
                continue
            with (
                _reached(),
                contextlib.suppress(FileNotFoundError),
                place.fs.open(place.oid_to_path(md5), "rb") as file,
            ):
                raw: bytes = file.read()
                if hashlib.md5(raw, usedforsecurity=False).hexdigest() == md5.removesuffix(_FOLDER):
                    return raw
        return None

    def tracked(self) -> list[Out]:
        """All that dvc.yaml and the .dvc files of the workspace track, in the versions that they name.

        Raises:
            UserError: DVC cannot read one of them.
        """
        from dvc.exceptions import DvcException

        try:
            found = [out for out in self._repo.index.outs if out.use_cache and out.hash_info]
        except DvcException as error:
            raise UserError(f"DVC cannot read this project: {error}") from None
        return [Out(path=str(out), md5=out.hash_info.value, size=out.meta.size or 0) for out in found]

    def fetch(self, objects: Collection[str]) -> set[str]:
        """Bring objects from the remote into the cache; returns those that are in neither.

        Raises:
            UserError: the remote does not answer.
        """
        from dvc_data.hashfile.hash_info import HashInfo
        from dvc_data.hashfile.transfer import transfer

        lacking = set(objects) - self.cached(objects)
        there = self.on_remote(lacking)
        if there:
            with _reached():
                transfer(self._remote, self._cache, [HashInfo("md5", one) for one in sorted(there)], verify=True)
        return set(objects) - self.cached(objects)

    def push(self, outs: Collection[Out]) -> int:
        """Bring outputs that are in the cache to the remote; returns the number of objects that could not be brought.

        Every file is asked for; `dvc push` takes those of a folder that was pushed before to be there still.

        Raises:
            UserError: the remote does not answer.
        """
        from dvc_data.hashfile.hash_info import HashInfo
        from dvc_data.hashfile.transfer import transfer

        there = self.cached(out.md5 for out in outs)
        if self._remote is None or not there:
            return 0
        wanted = [HashInfo("md5", one) for one in sorted(there)]
        with _reached():
            done = transfer(self._cache, self._remote, wanted, cache_odb=self._cache, shallow=False)
        return len(done.failed)

    def check_out(self, out: Out, target: Path) -> list[str]:
        """Copy an output from the cache to a path, checking every file; the path is there whole or not at all.

        Returns:
            What is missing or damaged in the cache, as paths; empty where the copy was made.

        Raises:
            UserError: the remote does not answer.
        """
        entries = self.entries(out)
        if entries is None:
            return [out.path]
        if not out.md5.endswith(_FOLDER):
            data = self._whole(out.md5)
            if data is None:
                return [out.path]
            files.write_bytes(target, data)
            return []
        bad: list[str] = []
        with _unless(bad), files.fresh_folder(target) as folder:
            for one in entries:
                place = _inside(folder, one.path)
                data = self._whole(one.md5)
                if data is None:
                    bad.append(f"{out.path}/{one.path}")
                    continue
                place.parent.mkdir(parents=True, exist_ok=True)
                place.write_bytes(data)
            if bad:
                raise _Incomplete
        return bad

    def _whole(self, md5: str) -> bytes | None:
        """The bytes of an object in the cache; None where they are missing or are not those."""
        try:
            data = Path(self._cache.oid_to_path(md5)).read_bytes()
        except FileNotFoundError:
            return None
        return data if hashlib.md5(data, usedforsecurity=False).hexdigest() == md5 else None

    def delete(self, objects: Iterable[str]) -> int:
        """Remove objects from the cache, lists of files last; returns the bytes that were freed."""
        freed = 0
        for one in sorted(objects, key=lambda name: name.endswith(_FOLDER)):
            path = Path(self._cache.oid_to_path(one))
            with contextlib.suppress(FileNotFoundError):
                freed += path.stat().st_size
                path.unlink()
            shutil.rmtree(f"{path}.unpacked", ignore_errors=True)  # of old versions of DVC
        return freed

    def size(self, objects: Iterable[str]) -> int:
        """Bytes that objects take in the cache."""
        return sum(Path(self._cache.oid_to_path(one)).stat().st_size for one in self.cached(objects))


class _Incomplete(Exception):  # noqa: N818 - ends a copy that would have holes
    pass


@contextlib.contextmanager
def _unless(bad: list[str]) -> Iterator[None]:
    """Let a copy end early that says what it lacks."""
    try:
        yield
    except _Incomplete:
        if not bad:
            raise


@contextlib.contextmanager
def _reached() -> Iterator[None]:
    """Turn whatever a remote fails with into one error; each kind of remote has errors of its own.

    Raises:
        UserError: the remote does not answer.
    """
    try:
        yield
    except FileNotFoundError:
        raise
    except Exception as error:
        raise UserError(f"the DVC remote does not answer: {type(error).__name__}: {error}") from error


def _inside(folder: Path, path: str) -> Path:
    """A file's place in a folder.

    Raises:
        UserError: it would lie outside.
    """
    place = Path(os.path.normpath(folder / path))
    if folder not in place.parents:
        raise UserError(f"a list of files in the DVC cache names {path!r}, which lies outside its folder.")
    return place
