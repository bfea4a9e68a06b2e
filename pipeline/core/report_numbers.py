"""How the report, and the check, write numbers."""

from __future__ import annotations

from collections.abc import Sequence

from pipeline.core.figures import Figure
from pipeline.core.judgements import Judgement

ABSENT = "\N{EN DASH}"  # shown for a figure that cannot be computed
_SMALL = 0.001  # p values under this are not told apart


def shown(value: float | None, digits: int = 3) -> str:
    """A number to so many digits; a dash where there is none.

    >>> shown(0.5), shown(None) == ABSENT
    ('0.500', True)
    """
    return ABSENT if value is None else f"{value:.{digits}f}"


def spanned(figure: Figure, digits: int = 3) -> tuple[str, ...]:
    """The interval of a figure, as one line; none where it has no interval. An end may be open.

    >>> spanned(Figure(value=0.5, low=0.4, high=0.6)), spanned(Figure(value=2, low=1), 0), spanned(Figure(value=0.5))
    (('0.400 to 0.600',), ('1 or more',), ())
    """
    if figure.low is None:
        return ()
    return (f"{shown(figure.low, digits)} {'or more' if figure.high is None else f'to {shown(figure.high, digits)}'}",)


def p_value(value: float) -> str:
    """A p value as people write it.

    >>> p_value(0.03), p_value(1e-9)
    ('p = 0.030', 'p < 0.001')
    """
    return f"p < {_SMALL}" if value < _SMALL else f"p = {value:.3f}"


def counted(number: int, what: str) -> str:
    """A number of things.

    >>> counted(1, "run"), counted(1200, "run")
    ('1 run', '1,200 runs')
    """
    return f"{number:,} {what}" if number == 1 else f"{number:,} {what}s"


def listed(names: Sequence[str]) -> str:
    """Names as a sentence has them.

    >>> listed(["a", "b", "c"]), listed(["a"]), listed([])
    ('a, b and c', 'a', '')
    """
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}" if names else ""


def significant(value: float, digits: int = 3) -> str:
    """A number of any size to so many significant digits, without an exponent where it can be.

    >>> significant(1234.5), significant(0.01234), significant(0.0), significant(-0.5)
    ('1,234', '0.0123', '0', '-0.5')
    """
    if abs(value) >= 10 ** (digits - 1):
        return f"{value:,.0f}"
    return f"{value:.{digits}g}"


def night(judgement: Judgement) -> str:
    """Which night of the horizon it is, and how alpha is shared between nights."""
    number, horizon = judgement.generation, judgement.horizon
    if number > horizon:
        return f"night {number}, past the planned {counted(horizon, 'night')}"
    return f"night {number} of {horizon}, schedule {judgement.schedule}"
