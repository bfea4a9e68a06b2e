"""When nights begin: a cron expression, and the same times as systemd and GitHub write them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime

from cronsim import CronSim, CronSimError

from pipeline.core.errors import UserError

_FIELDS = 5
_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_SUNDAY = 7
_EVERY_MINUTE, _EVERY_HOUR = frozenset(range(60)), frozenset(range(24))
_EVERY_DAY, _EVERY_MONTH = frozenset(range(1, 32)), frozenset(range(1, 13))
_LAST_WEEK = "~07/1"  # systemd: the seventh last day of a month, and each day after it
_LAST_DAY = "~01"


@dataclass(frozen=True, slots=True, kw_only=True)
class Timetable:
    """A cron expression of five fields that comes round again and again.

    Attributes:
        fields: as they were typed, in capitals: minute, hour, day of the month, month, day of the week.
        minutes: 0 to 59.
        hours: 0 to 23.
        days: of the month, 1 to 31.
        last_day: whether the last day of the month is meant, too.
        months: 1 to 12.
        weekdays: 1 (Monday) to 7 (Sunday).
        nth_weekdays: days of the week with their number in the month, 1 to 5; None for the last one.
        both: whether a day has to be in both fields of days; otherwise one of them is enough.
    """

    fields: tuple[str, ...]
    minutes: frozenset[int]
    hours: frozenset[int]
    days: frozenset[int]
    last_day: bool
    months: frozenset[int]
    weekdays: frozenset[int]
    nth_weekdays: frozenset[tuple[int, int | None]]
    both: bool

    @property
    def expression(self) -> str:
        """The expression, one space between fields."""
        return " ".join(self.fields)


def parse(expression: str) -> Timetable:
    """Read a cron expression: five fields, as Debian's cron takes them, and ``L`` and ``#`` in the fields of days.

    Raises:
        UserError: it is not such an expression, or its time never comes.
    """
    where = f"nightly.schedule in params.yaml: {expression!r}"
    wanted = "wanted five fields (minute, hour, day of the month, month, day of the week) such as 0 3 * * *"
    fields = tuple(expression.upper().split())
    if len(fields) != _FIELDS:
        raise UserError(f"{where}: {len(fields)} fields, {wanted}.")
    try:
        found = CronSim(expression, datetime(2024, 1, 1, tzinfo=UTC))
        next(found)
    except CronSimError as error:
        raise UserError(f"{where}: {str(error).lower()}; {wanted}.") from None
    except (ValueError, AssertionError):  # what CronSim makes of some malformed steps
        raise UserError(f"{where}: cannot be read; {wanted}.") from None
    except StopIteration:
        raise UserError(f"{where}: this time never comes; {wanted}.") from None
    if CronSim.LAST_WEEKDAY in found.days:
        raise UserError(f"{where}: LW is understood by neither cron nor systemd; name a day of the month, or L.")
    return Timetable(
        fields=fields,
        minutes=frozenset(found.minutes),
        hours=frozenset(found.hours),
        days=frozenset(day for day in found.days if day > 0),
        last_day=CronSim.LAST in found.days,
        months=frozenset(found.months),
        weekdays=frozenset(_weekday(item) for item in found.weekdays if isinstance(item, int)),
        nth_weekdays=frozenset(
            (_weekday(item[0]), None if item[1] == CronSim.LAST else item[1])
            for item in found.weekdays
            if isinstance(item, tuple)
        ),
        both=found.day_and,
    )


def _weekday(number: int) -> int:
    """1 to 7 of cron's 0 to 7, in which 0 and 7 are Sunday."""
    return number or _SUNDAY


def following(table: Timetable, *, after: datetime) -> datetime:
    """The next time after a given one, in its time zone."""
    return next(CronSim(table.expression, after))


def plain(table: Timetable) -> str:
    """The expression as every cron and GitHub take it: numbers, lists and ranges; Sunday is 0.

    Fields that begin with a star stay: where both fields of days are given, the star decides how they are combined.

    Raises:
        UserError: the expression has ``L`` or ``#``, which only systemd can express.
    """
    if table.last_day or table.nth_weekdays:
        raise UserError(
            f"nightly.schedule in params.yaml: {table.expression!r}: L and # are systemd's only. "
            "Write days as numbers, or use `tailwatch schedule systemd`."
        )
    weekdays = frozenset(day % _SUNDAY for day in table.weekdays)
    values = (table.minutes, table.hours, table.days, table.months, weekdays)
    return " ".join(
        field if field.startswith("*") else _runs(found, between="-", width=1)
        for field, found in zip(table.fields, values, strict=True)
    )


def calendar(table: Timetable) -> tuple[str, ...]:
    """The times as OnCalendar of a systemd timer takes them; a timer starts at the times of any of its lines.

    Raises:
        UserError: the fields of days are combined in a way that systemd cannot express.
    """
    months = "*" if table.months == _EVERY_MONTH else _runs(table.months)
    hours = "*" if table.hours == _EVERY_HOUR else _runs(table.hours)
    minutes = "*" if table.minutes == _EVERY_MINUTE else _runs(table.minutes)
    dates = list(_both(table) if table.both else _either(table))
    return tuple(f"{names} *-{months}{day} {hours}:{minutes}:00".strip() for names, day in dates)


def _either(table: Timetable) -> Iterable[tuple[str, str]]:
    """Names of weekdays and the date's end, where one of the two fields is enough."""
    yield from (("", day) for day in _days(table))
    if table.weekdays:
        yield _names(table.weekdays), "-*"
    yield from ((_names({day}), _week(number)) for day, number in sorted(table.nth_weekdays, key=str))


def _both(table: Timetable) -> Iterable[tuple[str, str]]:
    """Names of weekdays and the date's end, where a day has to be in both fields."""
    if table.weekdays:
        yield from ((_names(table.weekdays), day) for day in _days(table))
    if table.nth_weekdays and table.days != _EVERY_DAY:
        raise UserError(
            f"nightly.schedule in params.yaml: {table.expression!r}: systemd cannot express # or L of a weekday "
            "together with days of the month. Use one of the two."
        )
    yield from ((_names({day}), _week(number)) for day, number in sorted(table.nth_weekdays, key=str))


def _days(table: Timetable) -> Iterable[str]:
    if table.days:
        yield "-*" if table.days == _EVERY_DAY else f"-{_runs(table.days)}"
    if table.last_day:
        yield _LAST_DAY


def _week(number: int | None) -> str:
    """The days of the month in which the n-th of each weekday falls."""
    if number is None:
        return _LAST_WEEK
    first = 7 * number - 6
    return f"-{first:02}..{min(first + 6, 31):02}"


def _names(weekdays: Iterable[int]) -> str:
    days = frozenset(weekdays)
    if len(days) == len(_DAYS):
        return ""
    return ",".join(_DAYS[day - 1] for day in sorted(days))


def _runs(numbers: Iterable[int], *, between: str = "..", width: int = 2) -> str:
    """Numbers as a list in which three and more in a row are a range."""
    parts: list[list[int]] = []
    for number in sorted(numbers):
        if parts and number == parts[-1][-1] + 1:
            parts[-1].append(number)
        else:
            parts.append([number])
    return ",".join(
        f"{part[0]:0{width}}{between}{part[-1]:0{width}}"
        if len(part) > 2  # noqa: PLR2004 - two in a row read better one by one
        else ",".join(f"{number:0{width}}" for number in part)
        for part in parts
    )
