"""The doctor: each failure is provoked, and each finding says what to do."""

from __future__ import annotations

import fcntl
import json
import os
import platform
import py_compile
import resource
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from pipeline import doctor
from pipeline.doctor import database, machine, packages, repository
from pipeline.doctor.finding import GB, Finding, ok, problem, render, warning
from tests.project import free_port

LOADER = "mongod: error while loading shared libraries: {}: cannot open shared object file: No such file or directory"


def script(path: Path, *lines: str) -> Path:
    """An executable shell script."""
    path.write_text("\n".join(["#!/bin/sh", *lines]) + "\n", encoding="utf-8")
    path.chmod(0o755)
    return path


def shows(finding: Finding, status: str, *parts: str) -> None:
    """The finding has this status, and its message or remedy has each of these parts."""
    text = f"{finding.message}\n{finding.remedy}"
    assert finding.status == status, text
    for part in parts:
        assert part in text


# Findings


def test_render_shows_remedy_under_its_finding() -> None:
    """A remedy stands under its finding, and the last line counts."""
    text = render([ok("python", "3.12.1"), problem("git", "missing", "Type: this"), warning("disk", "4 GB", "Free it")])
    assert text.splitlines() == [
        "ok       python  3.12.1",
        "problem  git     missing",
        "                 -> Type: this",
        "warning  disk    4 GB",
        "                 -> Free it",
        "1 problem, 1 warning.",
    ]


def test_render_when_all_is_well() -> None:
    """Without a problem or a warning, the last line says so."""
    assert render([ok("python", "3.12.1")]).endswith("\nNothing is wrong.")


def test_finding_needs_a_remedy() -> None:
    """A problem without advice cannot be made, nor advice where nothing is wrong."""
    with pytest.raises(ValueError, match="finding git is problem, remedy None"):
        Finding(name="git", status="problem", message="missing")
    with pytest.raises(ValueError, match="finding git is ok"):
        Finding(name="git", status="ok", message="there", remedy="Type: this")


# Examination


def test_examine_of_this_installation(monkeypatch: pytest.MonkeyPatch) -> None:
    """Here, where these tests run, Python, packages, OpenCV and mongod are found to be right."""
    monkeypatch.delenv("FIFTYONE_DATABASE_URI", raising=False)
    monkeypatch.chdir(Path(__file__).parent.parent)
    findings = {finding.name: finding for finding in doctor.examine(quick=True)}
    for name in ("python", "packages", "opencv", "import cv2", "mongod"):
        assert findings[name].status == "ok", findings[name].message
    assert "torch" not in findings
    assert "mongod start" not in findings


def test_examine_in_an_empty_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """In a folder that is not the project's, findings say so, and nothing is raised or left behind."""
    monkeypatch.chdir(tmp_path)
    findings = {finding.name: finding for finding in doctor.examine(quick=True)}
    shows(findings["packages"], "problem", "no uv.lock")
    shows(findings["dvc"], "problem", "no .dvc/config")
    shows(findings["git"], "problem", "not a git repository", "git init")
    assert list(tmp_path.iterdir()) == []


def test_check_that_breaks_becomes_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    """A check that raises is a finding, and the checks after it run."""

    def broken() -> Finding:
        raise RuntimeError("no such luck")

    monkeypatch.setattr(machine, "check_memory", broken)
    findings = {finding.name: finding for finding in doctor.examine(quick=True)}
    shows(findings["memory"], "warning", "could not be checked: RuntimeError: no such luck", "make install")
    assert "disk" in findings


def test_importing_the_doctor_imports_nothing_heavy() -> None:
    """The doctor starts where what it looks at does not."""
    heavy = ("torch", "cv2", "numpy", "ultralytics", "fiftyone", "dvc", "pymongo")
    code = f"import sys, pipeline.doctor; print([name for name in {heavy} if name in sys.modules])"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


# Packages


@pytest.mark.parametrize(
    ("version", "status"),
    [
        pytest.param((3, 10, 14), "problem", id="too old"),
        pytest.param((3, 11, 0), "ok", id="oldest"),
        pytest.param((3, 13, 9), "ok", id="newest"),
        pytest.param((3, 14, 0), "problem", id="too new"),
    ],
)
def test_python(version: tuple[int, int, int], status: str) -> None:
    """Python 3.11 to 3.13 will do."""
    assert packages.check_python(version).status == status


LOCK = """
[[package]]
name = "numpy"
version = "2.4.6"
[[package]]
name = "numpy"
version = "2.5.5"
[[package]]
name = "torch"
version = "2.15.0"
"""


def test_versions_as_locked(tmp_path: Path) -> None:
    """Either of two locked versions will do, and so does a local build of one."""
    lock = tmp_path / "uv.lock"
    lock.write_text(LOCK, encoding="utf-8")
    assert packages.check_versions(lock, {"numpy": "2.5.5", "torch": "2.15.0+cu132"}).status == "ok"


def test_versions_other_than_locked(tmp_path: Path) -> None:
    """A package that is older, and one that is missing, are both named."""
    lock = tmp_path / "uv.lock"
    lock.write_text(LOCK, encoding="utf-8")
    finding = packages.check_versions(lock, {"numpy": "2.3.0", "torch": None})
    shows(
        finding, "problem", "numpy is 2.3.0, wanted 2.4.6 or 2.5.5", "torch is missing, wanted 2.15.0", "make install"
    )


def test_installed_versions_of_a_missing_package() -> None:
    """A package that is not there has no version."""
    assert packages.installed_versions(["no-such-package"]) == {"no-such-package": None}


def fake_distribution(folder: Path, name: str) -> None:
    """What pip leaves of an installed package."""
    info = folder / f"{name.replace('-', '_')}-4.14.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 4.14.0\n", encoding="utf-8")


@pytest.mark.parametrize("other", ["opencv-python", "opencv-contrib-python"])
def test_two_builds_of_opencv(tmp_path: Path, other: str) -> None:
    """Two builds that write the same folder are a problem, and both are named."""
    fake_distribution(tmp_path, other)
    fake_distribution(tmp_path, "opencv-python-headless")
    finding = packages.check_opencv([str(tmp_path)])
    shows(finding, "problem", f"{other} and opencv-python-headless", "uv pip uninstall", "make install")


def test_one_build_of_opencv_or_none(tmp_path: Path) -> None:
    """One build is right; none is a problem."""
    shows(packages.check_opencv([str(tmp_path)]), "problem", "missing")
    fake_distribution(tmp_path, "opencv-python-headless")
    assert packages.check_opencv([str(tmp_path)]).status == "ok"


def test_albumentations() -> None:
    """Its presence changes trainings, so it is a warning."""
    assert packages.check_albumentations(None).status == "ok"
    shows(packages.check_albumentations("2.0.8"), "warning", "2.0.8", "make install")


def test_import_that_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The import's own message is shown, without its traceback."""
    message = "libGL.so.1: cannot open shared object file"
    (tmp_path / "broken.py").write_text(f"raise ImportError('{message}')\n", encoding="utf-8")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    finding = packages.check_import("broken")
    shows(finding, "problem", f"fails: ImportError: {message}", "--reinstall-package broken")
    assert "Traceback" not in finding.message


def test_import_that_hangs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An import that does not end is stopped."""
    (tmp_path / "slow.py").write_text("import time; time.sleep(60)\n", encoding="utf-8")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    shows(packages.check_import("slow", timeout=0.3), "problem", "not done after 0.3 s")


def test_bytecode(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Missing bytecode matters only where Python may not write it."""
    source = tmp_path / "uncompiled" / "__init__.py"
    source.parent.mkdir()
    source.write_text("", encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert packages.check_bytecode({}, ["uncompiled"]).status == "ok"
    forbidden = {"PYTHONDONTWRITEBYTECODE": "1"}
    shows(packages.check_bytecode(forbidden, ["uncompiled"]), "warning", "none for uncompiled", "--compile-bytecode")
    py_compile.compile(str(source))
    assert packages.check_bytecode(forbidden, ["uncompiled"]).status == "ok"


def fake_torch(folder: Path, *, device: str | None, note: str = "") -> Path:
    """A Python whose torch answers as told."""
    answer = json.dumps({"version": "2.15.0", "device": device})
    return script(folder / "python", f"echo '{note}' >&2", f"echo '{answer}'")


def test_torch(tmp_path: Path) -> None:
    """A GPU is named; without one the CPU is; a GPU that torch cannot use is a warning with torch's reason."""
    gpu = tmp_path / "nvidia0"
    python = str(fake_torch(tmp_path, device="NVIDIA L4"))
    shows(packages.check_torch(python=python, nvidia=gpu), "ok", "2.15.0 on NVIDIA L4")
    fake_torch(tmp_path, device=None, note="UserWarning: the NVIDIA driver is too old")
    shows(packages.check_torch(python=python, nvidia=gpu), "ok", "on the CPU")
    gpu.touch()
    shows(packages.check_torch(python=python, nvidia=gpu), "warning", "driver is too old", "nvidia-smi")
    script(tmp_path / "python", "echo 'ImportError: libcudart.so' >&2", "exit 1")
    shows(packages.check_torch(python=python, nvidia=gpu), "problem", "fails: ImportError: libcudart.so")


# Machine


@pytest.mark.parametrize(
    ("free", "status"),
    [
        pytest.param(0.5, "problem", id="full"),
        pytest.param(3, "warning", id="low"),
        pytest.param(50, "ok", id="enough"),
    ],
)
def test_disk(free: float, status: str) -> None:
    """Under 1 GB is a problem, under 5 a warning."""
    assert machine.check_disk(Path(), int(free * GB)).status == status


@pytest.mark.parametrize(
    ("available", "status"),
    [pytest.param(1, "problem", id="little"), pytest.param(3, "warning", id="low"), pytest.param(8, "ok", id="enough")],
)
def test_memory(available: float, status: str) -> None:
    """Under 2 GB is a problem, under 3.5 a warning."""
    assert machine.check_memory(int(available * GB)).status == status


def test_memory_of_this_machine() -> None:
    """What is available here is more than nothing."""
    assert machine.available_memory() > 0


def cgroup(folder: Path, files: dict[str, str]) -> None:
    """The files of one cgroup."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name).write_text(text + "\n", encoding="utf-8")


def test_cgroup_v2_limit_of_a_parent(tmp_path: Path) -> None:
    """A parent's limit binds; page cache that can be given back counts as free."""
    cgroup(
        tmp_path / "pod", {"memory.max": "1000", "memory.current": "900", "memory.stat": "anon 5\ninactive_file 300"}
    )
    cgroup(tmp_path / "pod" / "box", {"memory.max": "max", "memory.current": "800", "memory.stat": ""})
    assert machine.cgroup_memory(tmp_path, "0::/pod/box\n") == 400


def test_cgroup_v1_limit(tmp_path: Path) -> None:
    """Version 1 keeps memory under a controller of its own, and its root here says that there is no limit."""
    unlimited = {"memory.limit_in_bytes": "9223372036854771712", "memory.usage_in_bytes": "7"}
    cgroup(tmp_path / "memory", unlimited)
    assert machine.cgroup_memory(tmp_path, "4:memory:/\n1:cpu:/\n") is None
    cgroup(tmp_path / "memory" / "box", {"memory.limit_in_bytes": "1000", "memory.usage_in_bytes": "600"})
    assert machine.cgroup_memory(tmp_path, "4:memory:/box\n0::/\n") == 400


def test_cgroup_path_that_is_not_mounted(tmp_path: Path) -> None:
    """In a container the path is the host's, and the container's own limit stands at the root."""
    cgroup(tmp_path, {"memory.max": "1000", "memory.current": "100"})
    assert machine.cgroup_memory(tmp_path, "0::/docker/0123\n") == 900


def test_open_files() -> None:
    """The soft limit of this process is what counts."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (512, hard))
        shows(machine.check_open_files(), "warning", "512 at most", "ulimit -n 4096")
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert machine.check_open_files(4096).status == "ok"


def test_processor_without_avx() -> None:
    """Only an x86-64 processor that lists its flags can lack AVX."""
    shows(machine.check_avx("flags\t\t: fpu sse4_2\n", machine="x86_64"), "problem", "AVX", "FIFTYONE_DATABASE_URI")
    assert machine.check_avx("flags\t\t: fpu avx avx2\n", machine="x86_64").status == "ok"
    assert machine.check_avx("Features\t: fp asimd\n", machine="aarch64").status == "ok"


# mongod


def test_mongod_missing(tmp_path: Path) -> None:
    """Neither the file nor FiftyOne itself may be there."""
    shows(
        database.check_mongod(tmp_path / "mongod"), "problem", "missing", "--reinstall-package", "FIFTYONE_DATABASE_URI"
    )
    shows(database.check_mongod(None), "problem", "fiftyone is not installed")


def test_mongod_not_executable(tmp_path: Path) -> None:
    """The command that mends it is given."""
    mongod = tmp_path / "mongod"
    mongod.write_text("", encoding="utf-8")
    shows(database.check_mongod(mongod), "problem", "not executable", f"chmod +x {mongod}")


def test_mongod_of_another_processor(tmp_path: Path) -> None:
    """A file that the system cannot run is a problem, not a traceback."""
    mongod = tmp_path / "mongod"
    mongod.write_bytes(b"\x7fELF broken")
    mongod.chmod(0o755)
    shows(database.check_mongod(mongod), "problem", "Exec format error")


@pytest.mark.parametrize(
    ("library", "package"),
    [("libcurl.so.4", "libcurl4"), ("libssl.so.3", "libssl3"), ("libodd.so.9", "(the package with libodd.so.9)")],
)
def test_mongod_lacks_a_library(tmp_path: Path, library: str, package: str) -> None:
    """The loader's message becomes the name of the Debian package."""
    mongod = script(tmp_path / "mongod", f"echo '{LOADER.format(library)}' >&2", "exit 127")
    shows(database.check_mongod(mongod), "problem", f"lacks {library}", f"sudo apt-get install {package}")


def test_mongod_lacks_several_libraries(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The loader names the first, ldd all; the advice has each package once."""
    script(tmp_path / "ldd", "echo '	libssl.so.3 => not found'", "echo '	libcrypto.so.3 => not found'")
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    mongod = script(tmp_path / "mongod", f"echo '{LOADER.format('libcurl.so.4')}' >&2", "exit 127")
    finding = database.check_mongod(mongod)
    shows(finding, "problem", "lacks libcrypto.so.3, libcurl.so.4, libssl.so.3", "apt-get install libcurl4 libssl3")


@pytest.mark.parametrize(
    ("lines", "message", "advice"),
    [
        pytest.param(["kill -ILL $$"], "lacks AVX", "FIFTYONE_DATABASE_URI", id="illegal instruction"),
        pytest.param(["kill -KILL $$"], "want of memory", "Stop other programs", id="killed"),
        pytest.param(["echo boom >&2", "exit 3"], "exit code 3: boom", "--reinstall-package", id="exit code"),
        pytest.param(
            ["echo 'libc.so.6: version `GLIBC_2.99'\"' not found\" >&2", "exit 1"], "too new", "Use Debian 12",
            id="old system",
        ),
        pytest.param(["exec sleep 60"], "gives nothing for 0.3 s", "--reinstall-package", id="hangs"),
    ],
)  # fmt: skip
def test_mongod_that_fails(tmp_path: Path, lines: list[str], message: str, advice: str) -> None:
    """However mongod ends, the finding says how, and what helps: to install anew only where the server is at fault."""
    finding = database.check_mongod(script(tmp_path / "mongod", *lines), timeout=0.3)
    shows(finding, "problem", message, advice)
    assert ("--reinstall" in str(finding.remedy)) == ("--reinstall" in advice)


def test_mongod_starts_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The MongoDB that FiftyOne brings starts here, and its temporary folder goes with it."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    executable = database.find_mongod()
    assert executable is not None
    shows(database.check_start(executable), "ok", " s")
    assert list(tmp_path.iterdir()) == []


def test_an_examination_that_is_killed_leaves_no_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """MongoDB ends with whoever started it; the folder goes with a later examination, and not before its time."""
    mongod = script(tmp_path / "mongod", f"echo $$ >{tmp_path}/pid", "exec sleep 60")
    code = (
        f"from pathlib import Path\nfrom pipeline.doctor import database\ndatabase.check_start(Path({str(mongod)!r}))"
    )
    folder = tmp_path / "temporary"
    folder.mkdir()
    with subprocess.Popen([sys.executable, "-c", code], env={**os.environ, "TMPDIR": str(folder)}) as examination:
        deadline = time.monotonic() + 60
        while not (tmp_path / "pid").exists() or not (tmp_path / "pid").read_text().strip():
            assert time.monotonic() < deadline
            time.sleep(0.02)
        examination.kill()
    server = int((tmp_path / "pid").read_text())
    while psutil.pid_exists(server) and psutil.Process(server).status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    (left_over,) = folder.iterdir()
    database.check_start(script(tmp_path / "mongod", "exit 1"))
    assert left_over.exists()
    os.utime(left_over, (0, 0))
    database.check_start(mongod)
    assert list(folder.iterdir()) == []


def test_mongod_that_ends_at_start(tmp_path: Path) -> None:
    """The last error in MongoDB's log is the reason that is shown."""
    entries = [
        {"s": "E", "msg": "Location", "attr": {"error": "DBPathInUse: lock held"}},
        {"s": "I", "msg": "Now exiting"},
    ]
    mongod = script(tmp_path / "mongod", *(f"echo '{json.dumps(entry)}'" for entry in entries), "exit 100")
    shows(database.check_start(mongod), "problem", "exit code 100: Location: DBPathInUse: lock held")
    killed = script(tmp_path / "mongod", "kill -KILL $$")
    shows(database.check_start(killed), "problem", "was killed, most often for want of memory", "Stop other programs")


def test_mongod_that_never_listens(tmp_path: Path) -> None:
    """A server that does not listen is stopped, and so is one that ignores the request to stop."""
    mongod = script(tmp_path / "mongod", "echo waiting", f"echo $$ > {tmp_path}/pid", "exec sleep 60")
    shows(database.check_start(mongod, timeout=0.3), "problem", "does not listen after 0.3 s: waiting")
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text(encoding="utf-8")), 0)


def test_database_folder(tmp_path: Path) -> None:
    """A folder that can be made is right, and is not made; one under a file cannot be, nor one in /proc."""
    shows(database.check_folder(tmp_path / "new"), "ok", "new")
    assert list(tmp_path.iterdir()) == []
    file = tmp_path / "file"
    file.touch()
    shows(database.check_folder(file / "db"), "problem", f"{file} is a file, wanted a folder")
    shows(database.check_folder(tmp_path / "new", free=GB // 10), "problem", "0.1 GB free")


@pytest.mark.skipif(platform.system() != "Linux", reason="needs a folder that root, too, cannot write: /proc")
def test_database_folder_that_cannot_be_written() -> None:
    """Where nothing can be written, the advice is to own the folder."""
    shows(database.check_folder(Path("/proc/db")), "problem", "cannot be written", "chown")


def test_database_folder_with_files_of_another_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files left by a run as root keep MongoDB from opening its folder."""
    (tmp_path / "WiredTiger.wt").touch()
    monkeypatch.setattr(os, "access", lambda *_: False)
    shows(database.check_folder(tmp_path), "problem", "1 files of another user, such as WiredTiger.wt", "chown")


# A server of one's own


@pytest.mark.parametrize(
    ("uri", "shown"),
    [
        ("mongodb://me:s3cret@db:27017/audit?tls=true", "mongodb://me:***@db:27017/audit"),
        ("mongodb+srv://me:p@ss@db/", "mongodb+srv://me:***@db/"),
        ("mongodb://me@db", "mongodb://me@db"),
        ("mongodb://a:1,b:2/?authMechanismProperties=AWS_SESSION_TOKEN:s3cret", "mongodb://a:1,b:2/"),
        ("mongodb://me:s3?cr/et@db/x?w=1", "mongodb://me:***@db/x"),
        ("me:s3cret@db", "me:***@db"),
        ("", ""),
    ],
)
def test_mask(uri: str, shown: str) -> None:
    """A URI is shown without password and options."""
    assert database.mask(uri) == shown


def test_server_that_does_not_answer() -> None:
    """A refused connection is a problem within the timeout, and the password stays unseen."""
    port = free_port()
    finding = database.check_server(f"mongodb://me:s3cret@127.0.0.1:{port}/", timeout=0.5)
    shows(finding, "problem", f"mongodb://me:***@127.0.0.1:{port}/", "refused", "unset FIFTYONE_DATABASE_URI")
    assert "s3cret" not in f"{finding}"
    assert "Topology" not in finding.message


def test_server_that_is_silent() -> None:
    """A server that accepts and says nothing does not hold the doctor up."""
    with socket.create_server(("127.0.0.1", 0)) as server:  # the system accepts, nobody reads
        finding = database.check_server(f"mongodb://127.0.0.1:{server.getsockname()[1]}/", timeout=0.5)
    shows(finding, "problem", "gives no answer")


@pytest.mark.parametrize(
    "uri",
    [
        "mongodb://me:s3@cret/word@db/",
        "mongodb://me:s3?cret@db/",
        "mongodb://me:s3:cret@db/",
        "http://me:s3cret@db",
        "mongodb://",
        "mongodb://h:99999/",
    ],
)
def test_uri_that_is_malformed(uri: str) -> None:
    """A URI that pymongo refuses is a problem, and no piece of its password is shown."""
    finding = database.check_server(uri, timeout=0.5)
    shows(finding, "problem", "gives no answer", "correct FIFTYONE_DATABASE_URI")
    assert "s3" not in f"{finding}"
    assert "cret" not in f"{finding}"


def test_server_that_answers() -> None:
    """A real MongoDB is asked for its version; the one that FiftyOne brings is older than the mended one."""
    executable = database.find_mongod()
    assert executable is not None
    with tempfile.TemporaryDirectory() as folder:
        port = database._free_port()
        command = [str(executable), "--dbpath", folder, "--port", str(port), "--bind_ip", "127.0.0.1", "--nounixsocket"]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        try:
            finding = database.check_server(f"mongodb://127.0.0.1:{port}/", timeout=20)
        finally:
            database._stop(process)
    shows(finding, "warning", f"mongodb://127.0.0.1:{port}/ is MongoDB 6.0.", "CVE-2025-14847")


@pytest.mark.parametrize(
    ("version", "status"),
    [
        ("4.4.29", "problem"),
        ("5.0.30", "problem"),
        ("6.0.5", "warning"),
        ("6.0.27", "ok"),
        ("8.0.17", "ok"),
        ("9.0", "ok"),
    ],
)
def test_version_of_a_server(version: str, status: str) -> None:
    """FiftyOne takes 6.0 and later; releases that leak memory are a warning."""
    assert database.judge_version("mongodb://db", version).status == status


def test_own_server_needs_no_mongod(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """With FIFTYONE_DATABASE_URI set, only that server is looked at."""
    monkeypatch.setattr(database, "check_server", lambda uri: ok("database", uri))
    findings = doctor.check_database({"FIFTYONE_DATABASE_URI": "mongodb://db"}, tmp_path, quick=False)
    assert [finding.name for finding in findings] == ["database"]


# git and DVC


def test_git_missing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Without git, the package is named."""
    monkeypatch.setenv("PATH", str(tmp_path))
    shows(repository.check_git(Path()), "problem", "apt-get install git")


def test_git_refuses_a_folder_of_another_user(tmp_path: Path) -> None:
    """Git's refusal becomes the command that mends it."""
    fake = script(tmp_path / "git", "echo 'fatal: detected dubious ownership in repository' >&2", "exit 128")
    shows(repository.check_git(tmp_path, str(fake)), "problem", "another user", f"safe.directory {tmp_path}")


def dvc_folder(folder: Path, config: str, local: str = "") -> Path:
    """A project's .dvc with its configuration."""
    dvc = folder / ".dvc"
    (dvc / "tmp").mkdir(parents=True, exist_ok=True)
    (dvc / "config").write_text(config, encoding="utf-8")
    if local:
        (dvc / "config.local").write_text(local, encoding="utf-8")
    return dvc


@pytest.mark.parametrize("kind", ["hardlink", "symlink", "reflink,hardlink,copy"])
def test_dvc_cache_that_links(tmp_path: Path, kind: str) -> None:
    """A cache that is linked into the workspace is a problem with its mending command."""
    dvc_folder(tmp_path, f"[core]\n    remote = store\n['remote \"store\"']\n    url = x\n[cache]\n    type = {kind}\n")
    cache, _ = repository.check_dvc(tmp_path)
    shows(cache, "problem", kind, "dvc config cache.type reflink,copy", "checkout --relink")


def test_dvc_cache_that_links_by_local_configuration(tmp_path: Path) -> None:
    """The local file overrides the project's, and is the one to mend."""
    dvc = dvc_folder(tmp_path, '[cache]\n    type = "reflink,copy"\n', "[cache]\n    type = hardlink\n")
    shows(repository.check_cache(dvc), "problem", "dvc config --local cache.type")


@pytest.mark.parametrize("config", ["", '[cache]\n    type = "reflink,copy"\n', "[cache]\n\ttype = copy\n\tdir = x\n"])
def test_dvc_cache_that_copies(tmp_path: Path, config: str) -> None:
    """Copies are safe, and so is DVC's own default."""
    assert repository.check_cache(dvc_folder(tmp_path, config)).status == "ok"


def rwlock(folder: Path, pid: int, *, age: float = 0) -> Path:
    """DVC's list of locked files, held by one process, written so many seconds ago."""
    file = folder / "rwlock"
    holder: dict[str, Any] = {"write": {"data/real": {"pid": pid, "cmd": "dvc repro"}}, "read": {}}
    file.write_text(json.dumps(holder), encoding="utf-8")
    written = file.stat().st_mtime - age
    os.utime(file, (written, written))
    return file


def test_dvc_lock_of_a_process_that_is_gone(tmp_path: Path) -> None:
    """DVC removes such a lock itself, so there is nothing to do."""
    ended = subprocess.Popen(["true"])
    ended.wait()
    rwlock(tmp_path, ended.pid)
    assert repository.check_locks(tmp_path).status == "ok"


def test_dvc_lock_of_a_reused_process_number(tmp_path: Path) -> None:
    """A process that started after the lock was written does not hold it, but DVC believes that it does."""
    file = rwlock(tmp_path, os.getpid(), age=1_000_000)
    shows(repository.check_locks(tmp_path), "problem", "another program's", f"rm {file}")


def test_dvc_lock_that_is_held(tmp_path: Path) -> None:
    """A process that is older than its lock is at work."""
    rwlock(tmp_path, os.getpid())
    shows(repository.check_locks(tmp_path), "warning", f"by process {os.getpid()}", "Wait")


@pytest.mark.parametrize("text", ["", "{", "[]", '{"write": {"a": {}}}'])
def test_dvc_lock_that_is_damaged(tmp_path: Path, text: str) -> None:
    """A list that was half written stops every DVC command, so its removal is advised."""
    (tmp_path / "rwlock").write_text(text, encoding="utf-8")
    shows(repository.check_locks(tmp_path), "problem", "damaged", "rm ")


def test_dvc_repository_lock(tmp_path: Path) -> None:
    """A leftover file is no lock; one that a process holds is."""
    file = tmp_path / "lock"
    file.write_text(" 12345\n", encoding="utf-8")
    assert repository.check_locks(tmp_path).status == "ok"
    with file.open("r+b") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        shows(repository.check_locks(tmp_path), "warning", "another DVC command is at work")
