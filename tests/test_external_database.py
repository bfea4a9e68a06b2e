"""A MongoDB that somebody else runs, as a shared server would be: `FIFTYONE_DATABASE_URI`."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.doctor import database
from tests.project import ROOT, Project, free_port

pytestmark = pytest.mark.slow
WRITE = """
from pipeline.adapters import voxel
fo = voxel.connect()
shared = fo.Dataset("shared", persistent=True)
shared.add_sample(fo.Sample(filepath="/one.png", ground_truth=fo.Classification(label="seven")))
"""
READ = """
from pipeline.adapters import voxel
fo = voxel.connect()
print("it says", fo.load_dataset("shared").values("ground_truth.label"))
"""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    """A server of its own on a free port; gives its address."""
    executable = database.find_mongod()
    assert executable is not None
    port = free_port()
    (tmp_path / "server").mkdir()
    command = [executable, "--dbpath", tmp_path / "server", "--port", str(port), "--bind_ip", "127.0.0.1"]
    process = subprocess.Popen(
        [*map(str, command), "--networkMessageCompressors", "disabled"], stdout=subprocess.DEVNULL
    )
    end = time.monotonic() + 120
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            break
        except OSError:
            assert process.poll() is None
            assert time.monotonic() < end
            time.sleep(0.2)
    yield f"mongodb://127.0.0.1:{port}"
    process.terminate()
    process.wait(timeout=60)


def test_two_machines_share_a_server(server: str, tmp_path: Path) -> None:
    """What one project writes to a server another one reads there, and neither starts a database of its own."""
    said = []
    for name, code in (("first", WRITE), ("second", READ)):
        folder = tmp_path / name
        folder.mkdir()
        done = Project(folder).run(
            sys.executable, "-c", code, FIFTYONE_DATABASE_URI=server, PYTHONPATH=str(ROOT), HOME=str(folder)
        )
        assert done.code == 0, done.output
        assert not (folder / ".fiftyone").exists()
        said.append(done.output)
    assert "it says ['seven']" in said[1]
