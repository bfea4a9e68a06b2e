"""Secrets out of what people read: an address of a webhook or a mailbox is a password by itself."""

from __future__ import annotations

import re

HIDDEN = "***"
_ADDRESS = re.compile(r"\b([a-zA-Z][a-zA-Z0-9+.-]*)://[^\s'\"`<>]*")


def masked(text: str) -> str:
    """The text with nothing of an address but its scheme.

    >>> masked("POST https://hooks.example.org/T0/B1?key=2 failed"), masked("env:WEBHOOK")
    ('POST https://*** failed', 'env:WEBHOOK')
    """
    return _ADDRESS.sub(rf"\1://{HIDDEN}", text)


def without(text: str, *secrets: str) -> str:
    """The text with nothing of the given secrets, nor of any address.

    Args:
        text: a message or a log line.
        secrets: whole addresses; their parts of eight characters or more are hidden too, as a library may print a
            password without the address around it.
    """
    parts = {part for secret in secrets for part in (secret, *re.split(r"[/?#&=@:,\s]+", secret))}
    for part in sorted(parts, key=len, reverse=True):
        if len(part) >= 8 and not part.startswith("env:"):  # noqa: PLR2004 - shorter ones are words and host names
            text = text.replace(part, HIDDEN)
    return masked(text)
