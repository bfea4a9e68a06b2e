"""Telling people and watchdogs: messages through apprise, and a ping that a dead night does not send."""

from __future__ import annotations

import logging
import os
import urllib.error
import urllib.request
import warnings
from collections.abc import Sequence
from typing import Any, Literal
from urllib.parse import urlsplit

from pipeline.core.masking import without

_TIMEOUT = 10.0  # seconds
_VARIABLE = "env:"
Kind = Literal["success", "warning", "failure"]
PingEnd = Literal["start", "", "fail"]  # what healthchecks.io puts behind the address


def resolved(address: str) -> str:
    """The address itself, where ``env:NAME`` names a variable of the environment.

    Raises:
        KeyError: there is no such variable, or it is empty; its argument is the variable's name.
    """
    if not address.startswith(_VARIABLE):
        return address
    name = address.removeprefix(_VARIABLE)
    if not os.environ.get(name):
        raise KeyError(name)
    return os.environ[name]


def check_addresses(addresses: Sequence[str]) -> list[str]:
    """What is wrong with addresses of apprise, a sentence each, without the address: it is a secret."""
    problems = []
    for number, address in enumerate(addresses, start=1):
        try:
            opened = _opened(resolved(address))
        except KeyError as error:
            problems.append(f"address {number} is taken from ${error.args[0]}, which is not set")
            continue
        if opened is None:
            scheme = address.partition(":")[0] if "://" in address else "none"
            problems.append(f"address {number} is none that apprise knows (scheme {scheme})")
    return problems


def send(addresses: Sequence[str], *, title: str, body: str, kind: Kind) -> list[str]:
    """Send a message to every address; what failed, a sentence each. Never raises, never shows an address.

    Args:
        addresses: of apprise, or ``env:NAME``.
        title: one line.
        body: plain text.
        kind: how it is marked, where the service knows such marks.
    """
    problems = []
    for number, address in enumerate(addresses, start=1):
        try:
            reason = _send(resolved(address), title, body, kind)
        except KeyError as error:
            reason = f"${error.args[0]} is not set"
        except Exception as error:  # noqa: BLE001 - a message that is not sent must not end a night
            reason = without(f"{type(error).__name__}: {error}", address, os.environ.get(address[4:], ""))
        if reason:
            problems.append(f"the message to address {number} was not sent: {reason}")
    return problems


def ping(address: str | None, *, end: PingEnd, text: str = "") -> str:
    """Tell a watchdog, such as healthchecks.io, that a night begins, ended well or failed; what failed, or nothing.

    Args:
        address: its URL, or ``env:NAME``; None for none.
        end: what is put behind the URL's path.
        text: body, shown there in its log.
    """
    if address is None:
        return ""
    try:
        full = _ending(resolved(address), end)
        request = urllib.request.Request(full, data=text.encode()[:10_000], method="POST")  # noqa: S310 - checked there
        with urllib.request.urlopen(request, timeout=_TIMEOUT):  # noqa: S310
            return ""
    except KeyError as error:
        return f"no ping: ${error.args[0]} is not set"
    except urllib.error.HTTPError as error:
        return f"no ping: the server answers {error.code}"
    except Exception as error:  # noqa: BLE001 - a ping that is not sent must not end a night
        reason = getattr(error, "reason", None) or error
        return f"no ping: {without(str(reason), address, os.environ.get(address[4:], ''))}"


def check_ping(address: str | None) -> str:
    """What is wrong with the address of a watchdog, without the address; nothing where all is well."""
    if address is None:
        return ""
    try:
        _ending(resolved(address), "start")
    except KeyError as error:
        return f"it is taken from ${error.args[0]}, which is not set"
    except ValueError as error:
        return str(error)
    return ""


def _ending(address: str, end: str) -> str:
    """The address with an end of its path; its query stays behind."""
    parts = urlsplit(address)
    if parts.scheme not in ("http", "https") or not parts.netloc:
        raise ValueError("it is no http or https address")
    path = parts.path.rstrip("/") + (f"/{end}" if end else "")
    return parts._replace(path=path).geturl()


def _opened(address: str) -> Any:
    """An apprise object with one address; None where it knows none such. Its own log, which has addresses, is off."""
    import apprise

    logging.getLogger("apprise").setLevel(logging.CRITICAL + 1)
    asset = apprise.AppriseAsset(app_id="Tailwatch", app_desc="Tailwatch", app_url="", async_mode=False)
    opened = apprise.Apprise(asset=asset)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of what apprise itself imports on the first address
        return opened if opened.add(address) else None


def _send(address: str, title: str, body: str, kind: Kind) -> str:
    opened = _opened(address)
    if opened is None:
        return "apprise knows no such address"
    for one in opened:
        one.socket_connect_timeout = one.socket_read_timeout = _TIMEOUT
    sent = opened.notify(title=title, body=body, notify_type=kind, body_format="text")
    return "" if sent else "the service did not take it"
