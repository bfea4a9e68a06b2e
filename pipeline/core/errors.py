"""The error that a person can mend."""

from __future__ import annotations


class UserError(Exception):
    """Something outside the code is wrong: data, parameters, the machine.

    The message says what was got, what was wanted, where, and what to do next. Commands print it without a traceback
    and exit with code 1.
    """
