"""The first command on a new server: what is missing is named in one line, before any work."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).parent.parent
COPIED = ("Makefile", "tools", "pyproject.toml", "uv.lock")
TOOLS = ("sh", "make", "awk", "cat", "df", "dirname", "git", "grep", "head", "ls", "sed", "sort", "touch", "uname")
CURL = "	libcurl.so.4 (libc6,x86-64) => /lib/libcurl.so.4"
GNUTLS = "	libcurl-gnutls.so.4 (libc6,x86-64) => /lib/libcurl-gnutls.so.4"


class Server:
    """A folder with the project's files and a PATH of its own, on which any program can be a fake."""

    def __init__(self, folder: Path) -> None:
        """Copy what make reads; link the real tools; fake those that look at the machine or change it."""
        self.project, self.bin, self.log = folder / "project", folder / "bin", folder / "log"
        self.project.mkdir()
        self.bin.mkdir()
        for name in COPIED:
            source = PROJECT / name
            (shutil.copytree if source.is_dir() else shutil.copy)(source, self.project / name)
        (self.project / ".git").mkdir()
        for name in TOOLS:
            found = shutil.which(name)
            assert found is not None, f"these tests need {name}"
            (self.bin / name).symlink_to(found)
        self.fake("ldconfig", f"echo '{CURL}'")
        self.fake("uname", "echo Linux")
        self.fake("id", "echo 1000")
        self.fake("apt-get")
        self.fake("apt-cache", "exit 100")
        self.fake("uv", f'[ "$1" = --version ] && echo uv 99.0.0 || echo "uv $*" >> {self.log}')
        self.python("python3", "3.12.3")

    def fake(self, name: str, *lines: str) -> None:
        """Put a shell script in place of a program."""
        path = self.bin / name
        path.unlink(missing_ok=True)
        path.write_text("\n".join(["#!/bin/sh", *lines]) + "\n", encoding="utf-8")
        path.chmod(0o755)

    def python(self, name: str, version: str, *, venv: bool = True) -> None:
        """A Python that says that it is of this version, and does no more than note what it is asked to do."""
        minor = version.rpartition(".")[0]
        fits = minor in ("3.11", "3.12", "3.13")
        self.fake(
            name,
            'case "$*" in',
            f"*ensurepip*) {'exit 0' if venv else 'exit 1'} ;;",
            f"*base_executable*) {f'echo {self.bin / name}' if fits else 'exit 1'} ;;",
            f'*"%d.%d"*) echo {minor} ;;',
            f"*python_version*) echo {version} ;;",
            f'*) echo "{name} $*" >> {self.log} ;;',
            "esac",
        )

    def without(self, *names: str) -> None:
        """Take programs away."""
        for name in names:
            (self.bin / name).unlink()

    def make(self, target: str = "install", **environment: str) -> subprocess.CompletedProcess[str]:
        """Run make with nothing but this server's programs."""
        return subprocess.run(
            [str(self.bin / "make"), target],
            cwd=self.project,
            env={"PATH": str(self.bin), "HOME": str(self.project), "LC_ALL": "C", **environment},
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )

    def refuses(self, target: str = "install", **environment: str) -> str:
        """Run make, which must fail before any work with a single line of ours; give that line."""
        before = sorted(self.project.iterdir())
        result = self.make(target, **environment)
        assert result.returncode != 0
        assert sorted(self.project.iterdir()) == before
        assert not self.log.exists(), self.log.read_text(encoding="utf-8")
        lines = [line for line in result.stderr.splitlines() if not line.startswith("make: ***")]
        assert len(lines) == 1, result.stderr
        assert result.stdout == ""
        return lines[0]


@pytest.fixture
def server(tmp_path: Path) -> Server:
    """A server that has all that is needed."""
    return Server(tmp_path)


def test_install_where_nothing_is_missing(server: Server) -> None:
    """The uv on the PATH installs what is locked; no other is brought."""
    result = server.make()
    assert result.returncode == 0, result.stderr
    assert server.log.read_text(encoding="utf-8") == "uv sync --locked --inexact\n"
    assert not (server.project / ".uv").exists()


def test_later_installs_are_silent(server: Server) -> None:
    """Once .venv is there, an install that changes nothing says nothing."""
    (server.project / ".venv").mkdir()
    result = server.make()
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")


@pytest.mark.parametrize(("target", "command"), [("repro", "dvc repro"), ("test", "pytest")])
def test_targets_install_first(server: Server, target: str, command: str) -> None:
    """The first make repro or make test installs, then runs."""
    assert server.make(target).returncode == 0
    log = server.log.read_text(encoding="utf-8").splitlines()
    assert [line.rstrip() for line in log] == ["uv sync --locked --inexact", f"uv run --no-sync {command}"]


@pytest.mark.parametrize("target", ["install", "repro", "test", "lint"])
def test_libcurl_is_missing(server: Server, target: str) -> None:
    """The libcurl that git brings is another one; MongoDB's is named with its package."""
    server.fake("ldconfig", f"echo '{GNUTLS}'")
    line = server.refuses(target)
    assert line.startswith("Missing: libcurl.so.4 (MongoDB needs it). Type: ")
    assert line.endswith("sudo apt-get install -y libcurl4")


def test_libcurl_of_the_loader_path(server: Server, tmp_path: Path) -> None:
    """A libcurl that only LD_LIBRARY_PATH shows will do."""
    server.fake("ldconfig")
    (tmp_path / "libcurl.so.4").touch()
    assert server.make(LD_LIBRARY_PATH=f"/nowhere:{tmp_path}").returncode == 0


def test_libcurl_is_not_needed_with_a_server_of_ones_own(server: Server) -> None:
    """With FIFTYONE_DATABASE_URI set, no MongoDB is started here."""
    server.fake("ldconfig")
    assert server.make(FIFTYONE_DATABASE_URI="mongodb://db").returncode == 0


def test_libcurl_is_not_looked_for_on_macos(server: Server) -> None:
    """There is no ldconfig on macOS, and libcurl comes with it."""
    server.fake("ldconfig")
    server.fake("uname", "echo Darwin")
    assert server.make().returncode == 0


def test_python_is_too_old(server: Server) -> None:
    """Ubuntu 22.04's own python3 is too old; the package that it has beside it is named."""
    server.python("python3", "3.10.12")
    server.fake("apt-cache", '[ "$2" = python3.11 ] && echo "Package: python3.11" || exit 100')
    line = server.refuses()
    assert "Missing: Python 3.11 to 3.13 (python3 is 3.10.12)." in line
    assert line.endswith("apt-get install -y python3.11 python3.11-venv")


def test_python_is_missing(server: Server) -> None:
    """Without any Python, Debian's own is named."""
    server.without("python3")
    line = server.refuses()
    assert "Missing: Python 3.11 to 3.13. Type: " in line
    assert line.endswith("apt-get install -y python3 python3-venv")


def test_python_that_is_too_new_is_passed_over(server: Server) -> None:
    """Beside a python3 that is too new, an older one is found by its name."""
    server.python("python3", "3.14.1")
    server.python("python3.13", "3.13.2")
    assert server.make().returncode == 0


def test_python_that_is_asked_for(server: Server) -> None:
    """UV_PYTHON chooses among those that fit."""
    server.python("python3.13", "3.13.2")
    server.python("python3.11", "3.11.2")
    server.fake("uv", f'[ "$1" = --version ] && echo uv 99.0.0 || echo "$UV_PYTHON" >> {server.log}')
    assert server.make().returncode == 0
    assert server.make(UV_PYTHON="3.11").returncode == 0
    assert server.make(UV_PYTHON="python3.11").returncode == 0
    names = [Path(line).name for line in server.log.read_text(encoding="utf-8").splitlines()]
    assert names == ["python3.13", "python3.11", "python3.11"]


def test_venv_module_is_missing(server: Server) -> None:
    """Debian keeps venv in a package of its own, which is needed where uv is to be brought."""
    server.python("python3", "3.11.2", venv=False)
    assert server.make().returncode == 0
    server.log.unlink()
    server.without("uv")
    line = server.refuses()
    assert "Missing: the venv module of Python 3.11." in line
    assert line.endswith("apt-get install -y python3.11-venv")


def test_several_things_are_missing(server: Server) -> None:
    """All of them stand in one line, with one command."""
    server.fake("ldconfig")
    server.without("git", "uv")
    server.python("python3", "3.11.2", venv=False)
    line = server.refuses("repro")
    assert "Missing: git, the venv module of Python 3.11, libcurl.so.4 (MongoDB needs it). Type: " in line
    assert line.endswith("sudo apt-get install -y git python3.11-venv libcurl4")


def test_root_needs_no_sudo(server: Server) -> None:
    """Containers run as root and have no sudo."""
    server.fake("ldconfig")
    server.fake("id", "echo 0")
    line = server.refuses()
    assert "sudo" not in line
    assert line.endswith("apt-get install -y libcurl4")


def test_without_apt(server: Server) -> None:
    """On other systems no command is invented."""
    server.fake("ldconfig")
    server.without("apt-get")
    line = server.refuses()
    assert line.endswith("Add it with the package manager of this machine, then run make again.")


def test_folder_that_is_no_clone(server: Server) -> None:
    """A folder out of an archive has no history, which DVC needs."""
    (server.project / ".git").rmdir()
    assert server.refuses(GIT_CEILING_DIRECTORIES=str(server.project.parent)).endswith("or type: git init")


def test_uv_that_is_too_old(server: Server) -> None:
    """An old uv on the PATH is passed over, and pip brings one into .uv with the Python that was found."""
    server.fake("uv", "echo uv 0.1.0")
    pip = server.project / ".uv" / "bin" / "pip"
    server.python("python3", "3.12.3")
    script = (server.bin / "python3").read_text(encoding="utf-8")
    venv = f'*venv*) /bin/mkdir -p {pip.parent}; printf "#!/bin/sh\\nexit 1\\n" > {pip}; /bin/chmod +x {pip} ;;\n*) '
    server.fake("python3", script.removeprefix("#!/bin/sh\n").replace("*) echo", f"{venv}echo", 1).strip())
    result = server.make()
    assert result.returncode != 0
    assert "putting one into .uv" in result.stdout
    assert "uv could not be installed: pip says why above" in result.stderr


def test_uv_of_the_project_is_used(server: Server) -> None:
    """A uv that make brought serves where the PATH has none; without either, the way to one is named."""
    server.without("uv")
    result = subprocess.run(
        ["sh", "tools/uv"],
        cwd=server.project,
        env={"PATH": str(server.bin)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (result.returncode, result.stderr.endswith("Type: make install\n")) == (127, True)
    own = server.project / ".uv" / "bin" / "uv"
    own.parent.mkdir(parents=True)
    own.write_text("#!/bin/sh\necho uv 99.0.0\n", encoding="utf-8")
    own.chmod(0o755)
    assert server.make().returncode == 0


def test_python_of_the_virtual_environment_is_kept(server: Server) -> None:
    """A newer Python on the PATH does not rebuild a .venv that fits."""
    server.python("python3.13", "3.13.2")
    own = server.project / ".venv" / "bin" / "python"
    own.parent.mkdir(parents=True)
    own.symlink_to(sys.executable)
    result = subprocess.run(
        ["sh", "tools/preflight"],
        cwd=server.project,
        env={"PATH": str(server.bin)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert Path(result.stdout.strip()).samefile(getattr(sys, "_base_executable", sys.executable))


def test_help_names_every_target(server: Server) -> None:
    """Make alone lists the targets, and does nothing."""
    result = server.make("--silent")
    assert [line.split()[1] for line in result.stdout.splitlines()] == ["help", "install", "repro", "test", "lint"]
    assert not server.log.exists()


@pytest.mark.parametrize("name", ["tools/preflight", "tools/uv", "tools/install", ".ci/run"])
def test_scripts_are_executable(name: str) -> None:
    """A clone can run each script as it stands."""
    assert os.access(PROJECT / name, os.X_OK)
