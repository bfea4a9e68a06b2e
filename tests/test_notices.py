"""Messages and pings reach a server of this machine, and never show where they went."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from pipeline.adapters import notices

TOKEN = "S3cretT0ken"  # noqa: S105 - nobody's


@dataclass
class Server:
    """An HTTP server that remembers what it was sent."""

    port: int = 0
    answer: int = 200
    got: list[tuple[str, str]] = field(default_factory=list)


@pytest.fixture
def server() -> Iterator[Server]:
    """A server on a free port of this machine."""
    made = Server()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
            made.got.append((self.path, body))
            self.send_response(made.answer)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        made.port = running.server_address[1]
        thread = threading.Thread(target=running.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        yield made
        running.shutdown()
        thread.join()


def test_a_message_arrives(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """Title, text and kind are in what the service gets; an address may stand in the environment."""
    monkeypatch.setenv("WEBHOOK", f"json://127.0.0.1:{server.port}/from-environment")
    addresses = [f"json://127.0.0.1:{server.port}/{TOKEN}", "env:WEBHOOK"]
    assert notices.send(addresses, title="COLLAPSING: wild-2", body="mAP50-95 0.1\nworse", kind="failure") == []
    assert [path for path, _ in server.got] == [f"/{TOKEN}", "/from-environment"]
    sent = json.loads(server.got[0][1])
    assert (sent["title"], sent["message"], sent["type"]) == ("COLLAPSING: wild-2", "mAP50-95 0.1\nworse", "failure")


@pytest.mark.parametrize(
    "address",
    [
        pytest.param(f"json://127.0.0.1:1/{TOKEN}", id="nobody listens"),
        pytest.param(f"nonsense://{TOKEN}", id="unknown service"),
        pytest.param("env:NOT_SET_ANYWHERE", id="unset variable"),
        pytest.param(f"mailto://{TOKEN}", id="malformed"),
    ],
)
def test_what_cannot_be_sent_is_said_without_the_address(address: str, caplog: pytest.LogCaptureFixture) -> None:
    """Every failure is a sentence; neither it nor any log has the secret."""
    (problem,) = notices.send([address], title="t", body="b", kind="failure")
    assert problem.startswith("the message to address 1 was not sent: ")
    assert TOKEN not in problem + caplog.text


def test_a_service_that_breaks(monkeypatch: pytest.MonkeyPatch) -> None:
    """An error of apprise's own is a sentence too, without what it says of the password."""

    def broken(*_: object) -> str:
        raise ValueError(f"login as me with {TOKEN} failed")

    monkeypatch.setattr(notices, "_send", broken)
    (problem,) = notices.send([f"mailtos://me:{TOKEN}@example.org"], title="t", body="b", kind="failure")
    assert problem.endswith("ValueError: login as me with *** failed")


def test_a_service_that_refuses(server: Server) -> None:
    """An error of the service is a failure to send, and the next address is still tried."""
    server.answer = 500
    addresses = [f"json://127.0.0.1:{server.port}/{name}" for name in "ab"]
    found = notices.send(addresses, title="t", body="b", kind="success")
    assert len(found) == 2
    assert {path for path, _ in server.got} == {"/a", "/b"}


def test_addresses_are_checked_without_sending(server: Server) -> None:
    """What apprise does not know is said by number and scheme."""
    found = notices.check_addresses(
        [f"json://127.0.0.1:{server.port}/x", f"nonsense://{TOKEN}", "env:NOT_SET_ANYWHERE", TOKEN]
    )
    assert [text.partition(" is ")[0] for text in found] == ["address 2", "address 3", "address 4"]
    assert "scheme nonsense" in found[0]
    assert TOKEN not in "".join(found)
    assert server.got == []


def test_pings(server: Server) -> None:
    """Begin, end and failure go to the addresses that healthchecks.io has for them, the query kept."""
    address = f"http://127.0.0.1:{server.port}/ping/{TOKEN}?rid=1"
    ends: tuple[notices.PingEnd, ...] = ("start", "", "fail")
    for end in ends:
        assert notices.ping(address, end=end, text="said") == ""
    assert [path for path, _ in server.got] == [f"/ping/{TOKEN}{end}?rid=1" for end in ("/start", "", "/fail")]
    assert server.got[2][1] == "said"
    server.answer = 404
    assert notices.ping(address, end="") == "no ping: the server answers 404"
    assert notices.ping(None, end="start") == ""


@pytest.mark.parametrize("address", [f"http://127.0.0.1:1/{TOKEN}", f"ftp://{TOKEN}", TOKEN, "env:NOT_SET_ANYWHERE"])
def test_a_ping_that_fails_is_a_sentence(address: str) -> None:
    """It never raises, and never shows the address."""
    told = notices.ping(address, end="start")
    assert told.startswith("no ping: ")
    assert TOKEN not in told
    assert bool(notices.check_ping(address)) != address.startswith("http")
