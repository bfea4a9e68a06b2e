"""The FiftyOne App: the project's dataset, served on localhost with the project's plugin."""

from __future__ import annotations

import os
import socket
import time
import urllib.request
from pathlib import Path
from typing import Any

from pipeline.adapters import voxel, voxel_server
from pipeline.core.errors import UserError

LOCALHOST = "127.0.0.1"
_PATIENCE = 180.0  # seconds for FiftyOne's server to answer


def launch(
    name: str,
    *,
    port: int,
    browser: bool,
    address: str = LOCALHOST,
    workspace: str | None = None,
    view: str | None = None,
) -> None:
    """Serve the App until it is closed or Ctrl-C.

    Args:
        name: of the dataset.
        port: to listen on.
        browser: open one.
        address: to listen on; whoever can reach it can read the user's files.
        workspace: a saved workspace of the dataset to begin with.
        view: a saved view to begin with; where it finds nothing, the App begins with all images.

    Raises:
        UserError: the port is taken.
    """
    check_port(port, address=address)
    fo = voxel.connect()
    _own_server()
    _patiently()
    dataset = fo.load_dataset(name)
    spaces = dataset.load_workspace(workspace) if workspace else None
    os.environ["BROWSER"] = os.environ.get("BROWSER", "") if browser else "true"
    first = dataset.load_saved_view(view) if view else None
    shown = {"view": first} if first is not None and len(first) else {"dataset": dataset}
    session = None
    try:
        session = fo.launch_app(**shown, address=address, port=port, auto=False, spaces=spaces)
        _await(session)
        if browser:
            session.open()
        print(f"FiftyOne App: http://{address}:{port}  (Ctrl-C ends it)", flush=True)  # noqa: T201
        session.wait(-1)
    except KeyboardInterrupt:
        pass  # as it is meant to end, also before the App is announced: its pages are served by then
    finally:
        if session is not None:
            session.close()


def check_port(port: int, *, address: str = LOCALHOST) -> None:
    """Fail where something listens already: FiftyOne would wait for its own server there, or show another project's.

    Raises:
        UserError: the port is taken, or no port at all, or the address is not this machine's.
    """
    where = "localhost" if address == LOCALHOST else address
    with socket.socket() as trial:
        trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # a port that was closed a moment ago is free
        try:
            trial.bind((address, port))
        except (OSError, OverflowError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise UserError(
                f"port {port} on {where} cannot be used: {reason}. End what uses it, or choose another port with "
                "`uv run tailwatch review --port N` or review.port in params.yaml."
            ) from None


def _patiently() -> None:
    """Let FiftyOne ask for its server until that answers; by itself it gives up for a while after 10 seconds."""
    from fiftyone.core.session import client

    def ping(url: str) -> None:
        end = time.monotonic() + _PATIENCE
        while True:
            try:
                urllib.request.urlopen(url, timeout=_PATIENCE).close()  # noqa: S310 - of the server on this machine
            except OSError:
                if time.monotonic() > end:
                    raise
                time.sleep(0.2)
            else:
                return

    client._ping = ping  # noqa: SLF001 - the only place where it can be told


def _await(session: Any) -> None:
    """Wait until the server knows the workspace: a page that is opened before shows FiftyOne's own layout.

    Raises:
        UserError: it does not answer.
    """
    end = time.monotonic() + _PATIENCE
    while not session._client._connected:  # noqa: SLF001 - FiftyOne has no other word for it
        if time.monotonic() > end:
            raise _no_answer()
        time.sleep(0.1)


def _no_answer() -> UserError:
    return UserError(
        f"the App's server did not answer within {_PATIENCE:g} seconds. Run the command again; {voxel.DOCTOR}"
    )


def _own_server() -> None:
    """Start FiftyOne's server in the project's folder, where its operators read and write the project's files."""
    from fiftyone.core import service

    parent: Any = service.ServerService
    if getattr(parent, "of_project", False):
        return
    server = Path(parent.working_dir)

    class ProjectServer(parent):  # type: ignore[misc]  # FiftyOne has no types
        of_project = True
        working_dir = str(Path.cwd())

        @property
        def command(self) -> list[str]:
            python, main, *rest = super().command
            return [python, voxel_server.__file__, str(server / main), *rest]

        def _wait_for_child_port(self, port: int | None = None, timeout: float = _PATIENCE) -> int:
            """Wait longer than FiftyOne's minute: beside a night that trains, its server takes its time."""
            try:
                found: int = super()._wait_for_child_port(port=port, timeout=timeout)
            except service.ServiceListenTimeout:
                raise _no_answer() from None
            return found

    service.ServerService = ProjectServer
