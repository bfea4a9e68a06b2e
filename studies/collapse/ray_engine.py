"""The Ray engine: each base and each generation of a cell is one task, on whichever node has room.

Nodes need the project's installed packages and nothing else: the code goes with the job (Ray's ``working_dir``), images
and weights go to a task and come back from it through Ray, and everything is kept in this machine's work folder. So no
disk is shared, a node that dies costs the generation that it was at (Ray runs it again elsewhere), and a driver that is
killed goes on where it was.
"""

from __future__ import annotations

import contextlib
import importlib.util
import io
import os
import shutil
import socket
import tempfile
import threading
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from pipeline.chains import stages
from pipeline.chains.steps import LOG, Step, execute
from pipeline.core import files
from pipeline.core.errors import UserError

ANSWER = 5.0  # seconds within which an address has to answer
_GREETING = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0])
_FRAME_HEAD, _SETTINGS = 9, 4  # bytes before a frame's content; its type
_POLL = 1.0  # seconds
_RETRIES = 4  # of a task whose node died
_DATA = (Path("data/real"), Path("data/verified"))  # the same for all tasks
_NAMED = (Path("models"), Path("generators"))  # of the project, which settings may name; likewise
_SEEN = {"RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0"}  # a node's GPUs, by tasks that have asked for none
_CODE = ("pipeline", "studies/collapse")
_KEPT_OUT = {".tailwatch", LOG, "__pycache__"}
_STORED = {".png", ".jpg", ".pt"}  # compressed already, or as good as random


@dataclass(slots=True, kw_only=True)
class Cluster:
    """A connected cluster.

    Attributes:
        cores: of all nodes together.
    """

    cores: int
    _ray: Any
    _task: Any
    _folder: Path
    _shared: tuple[Any, ...] = ()
    _stopped: threading.Event = field(default_factory=threading.Event)

    def stop(self) -> None:
        """Wait for no task any more."""
        self._stopped.set()

    def run(self, step: Step) -> None:
        """Run one step on some node, and bring back what its stages wrote.

        Raises:
            UserError: a stage failed there, or the nodes died too often.
        """
        if not self._shared:
            self._shared = (self._ray.put(pack(self._folder, _DATA)), self._ray.put(pack(Path(), _NAMED)))
        state = pack(step.folder, contents(step.folder))
        task = self._task.options(num_cpus=step.threads, name=step.what)
        errors = self._ray.exceptions
        try:
            result = self._waited_for(task.remote(_fields(step), state, *self._shared))
        except errors.RayTaskError as error:
            if isinstance(error.cause, UserError):
                raise UserError(str(error.cause)) from None
            raise UserError(f"{step.what}: it failed on a node: {error.cause!r}") from error
        except errors.RayError as error:
            told = (str(error).strip().splitlines() or [type(error).__name__])[0]
            raise UserError(f"{step.what}: Ray gave it up: {told}. Run the same command again to go on.") from error
        receive(result, step)

    def _waited_for(self, reference: Any) -> bytes:
        while not self._stopped.is_set():
            done, _ = self._ray.wait([reference], timeout=_POLL)
            if done:
                result: bytes = self._ray.get(reference)
                return result
        raise UserError("it was broken off. Run the same command again to go on.")


@contextlib.contextmanager
def connected(address: str, data: Path) -> Iterator[Cluster]:
    """Be connected to a cluster for the length of a block.

    Args:
        address: HOST:PORT of the head node, or ``auto`` on a node of the cluster.
        data: folder of the study's real images, which need not be there yet.

    Raises:
        UserError: Ray is not installed, or nobody answers.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    # Under `uv run` Ray would have each node install the project anew, and refuse a folder without its pyproject.toml.
    os.environ.setdefault("RAY_ENABLE_UV_RUN_RUNTIME_ENV", "0")
    if importlib.util.find_spec("ray") is None:
        raise UserError("Ray is not installed. Type: uv sync --extra ray")
    _require_answer(address)
    import ray

    with tempfile.TemporaryDirectory(prefix="tailwatch-ray-") as code:
        _copy_code(Path(code))
        try:
            ray.init(
                address=address, log_to_driver=False, logging_level="ERROR", namespace="tailwatch",
                runtime_env={"working_dir": code, "env_vars": _SEEN},
            )  # fmt: skip
        except Exception as error:
            raise _refusal(address, (str(error).strip().splitlines() or [type(error).__name__])[0]) from error
        try:
            task = ray.remote(max_retries=_RETRIES, retry_exceptions=False)(remote_step)
            cores = int(ray.cluster_resources().get("CPU", 0))
            if cores < 1:
                raise UserError(
                    f"the Ray cluster at {address} has no node with a free core. Add one: ray start --address …"
                )
            yield Cluster(cores=cores, _ray=ray, _task=task, _folder=data)
        finally:
            ray.shutdown()


def remote_step(fields: dict[str, Any], state: bytes, data: bytes, named: bytes) -> bytes:
    """Run one step in a folder of its own, on the node that this is called on; gives what its stages wrote.

    Args:
        fields: of the step.
        state: what is in the step's folder, as a zip file.
        data: the study's real images, likewise.
        named: the project's models and generators, likewise.

    Raises:
        UserError: a stage failed.
    """
    import studies

    step = Step(**{**fields, "folder": Path(fields["folder"])})
    root = Path(next(iter(studies.__path__))).parent
    with tempfile.TemporaryDirectory(prefix="tailwatch-step-") as name:
        folder = Path(name)
        for one in (data, named, state):
            unpack(one, folder)
        execute(step, root=root, folder=folder)
        wanted = [stages.progress(step.run), *stages.outs(step.run).values()]
        return pack(folder, wanted)


def pack(folder: Path, names: Sequence[Path]) -> bytes:
    """Files and folders as a zip file; links are followed."""
    result = io.BytesIO()
    with zipfile.ZipFile(result, "w") as packed:
        for name in names:
            for path in _files(folder / name):
                how = zipfile.ZIP_STORED if path.suffix in _STORED else zipfile.ZIP_DEFLATED
                packed.write(path, path.relative_to(folder), compress_type=how, compresslevel=1)
    return result.getvalue()


def unpack(parcel: bytes, folder: Path) -> None:
    """Files of a zip file into a folder; none lands outside it."""
    with zipfile.ZipFile(io.BytesIO(parcel)) as packed:
        packed.extractall(folder)


def receive(result: bytes, step: Step) -> None:
    """Put what a step wrote elsewhere into its own folder; the note that it is done comes last."""
    note = stages.progress(step.run)
    with files.fresh_folder(step.folder / "arrived") as aside:
        unpack(result, aside)
        for out in stages.outs(step.run).values():
            target = step.folder / out
            shutil.rmtree(target, ignore_errors=True)
            target.parent.mkdir(parents=True, exist_ok=True)
            (aside / out).rename(target)
        files.write_bytes(step.folder / note, (aside / note).read_bytes())
    shutil.rmtree(step.folder / "arrived")


def _fields(step: Step) -> dict[str, Any]:
    return {**asdict(step), "folder": str(step.folder)}


def contents(folder: Path) -> list[Path]:
    """What is in a step's folder, but for logs, locks and what is the same in all folders."""
    top = [
        Path(one.name) for one in sorted(folder.iterdir()) if one.name not in {*_KEPT_OUT, "data", *map(str, _NAMED)}
    ]
    inner = [Path("data") / one.name for one in sorted((folder / "data").iterdir())]
    return [*top, *(one for one in inner if one not in _DATA)]


def _files(path: Path) -> Iterator[Path]:
    if path.is_file():
        yield path
    elif path.is_dir():
        for one in sorted(path.iterdir()):
            if one.name not in _KEPT_OUT and not files.ASIDE.fullmatch(one.name):
                yield from _files(one)


def _copy_code(target: Path) -> None:
    """What a node needs of the project: its packages, without what stands beside them in a working tree."""
    for name in _CODE:
        shutil.copytree(Path(name), target / name, ignore=shutil.ignore_patterns("__pycache__", "made", "results"))
    (target / "studies" / "__init__.py").touch()


def _require_answer(address: str) -> None:
    """Have somebody answer at an address, within seconds; Ray itself would try for minutes.

    Raises:
        UserError: nobody answers, or it is no address.
    """
    if address == "auto":
        return
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not host or not port.isdigit() or "/" in host:
        raise UserError(
            f"--address {address!r}: wanted HOST:PORT of the cluster's head node, such as 10.0.0.1:6379, or auto."
        )
    try:
        with socket.create_connection((host.strip("[]"), int(port)), timeout=ANSWER) as connection:
            greeted = os.environ.get("RAY_USE_TLS") == "1" or _speaks_http2(connection)
    except (OSError, OverflowError) as error:
        raise _refusal(address, str(error)) from None
    if not greeted:
        raise _refusal(address, "something else than Ray listens there")


def _speaks_http2(connection: socket.socket) -> bool:
    """Whether whoever listens answers a greeting of HTTP/2, as Ray's head node does, whose protocol is gRPC.

    Source: RFC 9113, sections 3.4 and 4.1: both sides begin with a frame of settings.
    """
    connection.sendall(_GREETING)
    answer = b""
    while len(answer) < _FRAME_HEAD:
        more = connection.recv(_FRAME_HEAD - len(answer))
        if not more:
            return False
        answer += more
    return answer[3] == _SETTINGS


def _refusal(address: str, reason: str) -> UserError:
    return UserError(
        f"no Ray cluster answers at {address}: {reason}. On the head node, `ray status` says whether one runs; "
        "`ray start --head` starts one. Without a cluster: --engine processes."
    )
