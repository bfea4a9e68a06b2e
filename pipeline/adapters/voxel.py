"""FiftyOne and the database under it: a connection that knows the project's plugin.

What the App shows is made by :mod:`pipeline.adapters.voxel_dataset`; :mod:`pipeline.adapters.voxel_app` serves it.
"""

from __future__ import annotations

import hashlib
import logging
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import psutil

from pipeline.adapters import voxel_keeper
from pipeline.core import paths
from pipeline.core.errors import UserError

PLUGIN = Path(__file__).parent.parent / "app"
DOCTOR = "`uv run tailwatch doctor` says what is wrong and how to mend it."


def connect() -> Any:
    """Import FiftyOne and connect to its database; gives the module.

    The embedded MongoDB keeps its files in the project's folder, so that two clones never share one;
    ``FIFTYONE_DATABASE_URI`` points at another server.

    Raises:
        UserError: the database does not start or does not answer.
    """
    own = not os.environ.get("FIFTYONE_DATABASE_URI")
    os.environ["FIFTYONE_PLUGINS_DIR"] = _plugins()
    os.environ["FIFTYONE_DO_NOT_TRACK"] = "true"
    os.environ["FIFTYONE_DATABASE_DIR"] = str(paths.DATABASE.absolute())
    if own:
        os.environ["FIFTYONE_DATABASE_VALIDATION"] = "false"  # the bundled server's age is known, and said in the docs
        _check_mongod()
    import fiftyone as fo

    from pipeline.adapters import voxel_evaluation

    # What FiftyOne read from the environment, where it was imported before this.
    fo.config.plugins_dir = os.environ["FIFTYONE_PLUGINS_DIR"]
    fo.config.database_dir = os.environ["FIFTYONE_DATABASE_DIR"]
    fo.config.database_validation = fo.config.database_validation and not own
    fo.config.do_not_track = True
    logging.getLogger("fiftyone").setLevel(logging.WARNING)
    voxel_evaluation.register()
    try:
        if own:
            _own_database(fo)
        fo.list_datasets()
    except Exception as error:
        where = "FiftyOne's MongoDB does not start" if own else "the MongoDB at FIFTYONE_DATABASE_URI does not answer"
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise UserError(f"{where}: {reason}. {DOCTOR}") from error
    return fo


def _plugins() -> str:
    """A folder with links to the project's plugin and to those that the user has; FiftyOne takes one folder only."""
    folder = paths.PLUGINS.absolute()
    named = os.environ.get("FIFTYONE_PLUGINS_DIR")
    theirs = Path(named).absolute() if named else Path.home() / "fiftyone" / "__plugins__"
    wanted = {"tailwatch": PLUGIN} | ({"of-the-user": theirs} if theirs.is_dir() and theirs != folder else {})
    folder.mkdir(parents=True, exist_ok=True)
    for name, target in wanted.items():
        link = folder / name
        if not link.is_symlink() or link.readlink() != target:
            aside = folder / f".{name}-{os.getpid()}"
            aside.symlink_to(target, target_is_directory=True)
            aside.replace(link)
    return str(folder)


def _check_mongod() -> None:
    """Fail at once where mongod cannot even start; FiftyOne would wait a minute.

    Raises:
        UserError: mongod is missing or cannot run here.
    """
    package = find_spec("fiftyone")
    found = (
        [Path(folder) / "db" / "bin" / "mongod" for folder in (package.submodule_search_locations or [])]
        if package
        else []
    )
    mongod = next((path for path in found if path.is_file()), None)
    if mongod is None:
        raise UserError(f"FiftyOne's MongoDB is not installed. Run `uv sync --reinstall`, or {DOCTOR}")
    try:
        asked = subprocess.run([mongod, "--version"], capture_output=True, text=True, timeout=30, check=False)  # noqa: S603
    except (OSError, subprocess.TimeoutExpired) as error:
        raise UserError(f"FiftyOne's MongoDB cannot be run: {error}. {DOCTOR}") from None
    if asked.returncode != 0:
        reason = (asked.stderr.strip() or asked.stdout.strip()).splitlines()
        raise UserError(f"FiftyOne's MongoDB cannot be run: {reason[-1] if reason else asked.returncode}. {DOCTOR}")


def _own_database(fo: Any) -> None:
    """Give this project's database a service of its own.

    FiftyOne joins whatever database service of the same name the user already runs, also that of another clone. And
    MongoDB before 6.0.27 reads out memory to whoever sends it zlib-compressed messages (CVE-2025-14847).
    """
    from fiftyone.core import service
    from fiftyone.core.odm import database

    if getattr(service.DatabaseService, "of_project", False) or database._db_service is not None:  # noqa: SLF001
        return
    folder = Path(fo.config.database_dir)
    folder.mkdir(parents=True, exist_ok=True)
    parent, keeper = service.DatabaseService, service.Service

    main = Path(service.__file__).parent.parent / "service" / "main.py"

    class Keeper(keeper):  # type: ignore[misc, valid-type]  # FiftyOne has no types
        def start(self) -> None:
            """Start the process as FiftyOne does, with a smaller script."""
            self.child = psutil.Popen(
                [sys.executable, voxel_keeper.__file__, str(main), *self._service_args, *self.command],
                cwd=self.working_dir, stdin=subprocess.PIPE, env={**os.environ, **self.env},
            )  # fmt: skip

    class ProjectDatabase(parent, Keeper):  # type: ignore[misc, valid-type]  # the keeper starts what the parent needs
        of_project = True
        service_name = f"db-{hashlib.sha256(str(folder).encode()).hexdigest()[:16]}"

        @property
        def command(self) -> list[str]:
            return [
                *super().command,
                "--bind_ip", "127.0.0.1",
                "--networkMessageCompressors", "snappy,zstd",
                "--wiredTigerCacheSizeGB", "0.25",
            ]  # fmt: skip

    service.DatabaseService = ProjectDatabase
