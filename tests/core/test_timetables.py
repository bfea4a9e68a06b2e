"""Cron expressions, held against systemd's own calendar."""

from __future__ import annotations

import re
import shutil
import subprocess
from datetime import UTC, datetime
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.core import timetables
from pipeline.core.errors import UserError

SYSTEMD = shutil.which("systemd-analyze")
with_systemd = pytest.mark.skipif(SYSTEMD is None, reason="systemd-analyze is not installed here")

EXPRESSIONS = {
    "every night": "0 3 * * *",
    "twice": "30 1,13 * * *",
    "weekdays": "15 2 * * 1-5",
    "weekdays by name": "15 2 * * mon-fri",
    "sunday as 0": "0 4 * * 0",
    "sunday as 7": "0 4 * * 7",
    "sunday both ways": "0 4 * * 0,7",
    "steps": "*/20 */6 * * *",
    "steps from a number": "5/25 0 * * *",
    "some months": "0 3 1 1,4,7,10 *",
    "months by name": "0 3 * jan,jun-aug *",
    "the first or a monday": "0 3 1 * 1",
    "odd days that are mondays": "0 3 */2 * 1",
    "last day": "0 3 L * *",
    "last day or the tenth": "0 3 10,L * *",
    "last friday": "0 3 * * 5L",
    "second tuesday": "0 3 * * 2#2",
    "fifth sunday": "0 3 * * 0#5",
    "a monday or second tuesday": "0 3 * * 1,2#2",
    "leap day": "0 3 29 2 *",
}
NOT_PLAIN = {"last day", "last day or the tenth", "last friday", "second tuesday", "fifth sunday"} | {
    "a monday or second tuesday"
}
BASE = datetime(2026, 11, 21, 12, 34, tzinfo=UTC)


def fires(expression: str, number: int) -> list[datetime]:
    """The next times of an expression, as cron understands it."""
    table = timetables.parse(expression)
    times = [timetables.following(table, after=BASE)]
    while len(times) < number:
        times.append(timetables.following(table, after=times[-1]))
    return times


def systemd_fires(calendar: str, number: int) -> list[datetime]:
    """The next times of a calendar expression, as systemd understands it."""
    assert SYSTEMD
    asked = subprocess.run(
        [SYSTEMD, "calendar", f"--iterations={number}", f"--base-time={BASE:%Y-%m-%d %H:%M:%S} UTC", calendar],
        capture_output=True,
        text=True,
        check=True,
        env={"TZ": "UTC"},
    )
    found = re.findall(r"(?:Next elapse|Iteration #\d+|Iter\. #\d+): \w+ (\S+ \S+) UTC", asked.stdout)
    return [datetime.strptime(one, "%Y-%m-%d %H:%M:%S").replace(tzinfo=UTC) for one in found]


@with_systemd
@pytest.mark.parametrize("name", EXPRESSIONS)
def test_systemd_starts_when_cron_does(name: str) -> None:
    """The timer's lines together fire at exactly the times of the cron expression."""
    number = 8
    lines = timetables.calendar(timetables.parse(EXPRESSIONS[name]))
    found = sorted({time for line in lines for time in systemd_fires(line, number)})
    assert found[:number] == fires(EXPRESSIONS[name], number)


@pytest.mark.parametrize(
    ("name", "calendar"),
    [
        ("every night", ("*-*-* 03:00:00",)),
        ("weekdays", ("Mon,Tue,Wed,Thu,Fri *-*-* 02:15:00",)),
        ("the first or a monday", ("*-*-01 03:00:00", "Mon *-*-* 03:00:00")),
        ("last day", ("*-*~01 03:00:00",)),
        ("last friday", ("Fri *-*~07/1 03:00:00",)),
        ("second tuesday", ("Tue *-*-08..14 03:00:00",)),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_calendar(name: str, calendar: tuple[str, ...]) -> None:
    """Where days of the month and of the week are both given, either is enough for cron: systemd needs two lines."""
    assert timetables.calendar(timetables.parse(EXPRESSIONS[name])) == calendar


@pytest.mark.parametrize("name", sorted(set(EXPRESSIONS) - NOT_PLAIN))
def test_plain_means_the_same(name: str) -> None:
    """The expression as every cron takes it fires at the same times, and has no names, no Sunday as 7."""
    plain = timetables.plain(timetables.parse(EXPRESSIONS[name]))
    assert re.fullmatch(r"[\d*/,-]+( [\d*/,-]+){4}", plain)
    assert "7" not in plain.split()[4]
    assert fires(plain, 8) == fires(EXPRESSIONS[name], 8)


@pytest.mark.parametrize("name", sorted(NOT_PLAIN))
def test_what_only_systemd_can_express(name: str) -> None:
    """Both cron and GitHub know neither L nor #; who wants those is sent to systemd."""
    with pytest.raises(UserError, match="tailwatch schedule systemd"):
        timetables.plain(timetables.parse(EXPRESSIONS[name]))


@pytest.mark.parametrize(
    ("expression", "said"),
    [
        ("", "0 fields"),
        ("0 3 * *", "4 fields"),
        ("0 0 3 * * *", "6 fields"),
        ("@daily", "1 fields"),
        ("60 3 * * *", "bad minute"),
        ("0 24 * * *", "bad hour"),
        ("0 3 0 * *", "bad day-of-month"),
        ("0 3 * 13 *", "bad month"),
        ("0 3 * * 8", "bad day-of-week"),
        ("0 3 * * funday", "bad day-of-week"),
        ("0 3 5-1 * *", "bad day-of-month"),
        ("*/0 3 * * *", "bad minute"),
        ("0 3 31 2 *", "bad day-of-month"),
        ("0 3 31 4 *", "bad day-of-month"),
        ("0 3 LW * *", "LW"),
        ("0 3 */15 * 1#2", "this time never comes"),  # the first, 16th or 31st, and a second Monday
        ("0 3 * * 1#2/2", "bad day-of-week"),
        ("0 3 * * 2L/2", "bad day-of-week"),
        ("0 \u0663 * * *", "bad hour"),
    ],
)
def test_bad_expressions(expression: str, said: str) -> None:
    """What is wrong is said with the expression, the place it stands in, and an example of a right one."""
    with pytest.raises(UserError, match=f"nightly.schedule in params.yaml: .*{said}"):
        timetables.parse(expression)


def test_weekday_number_with_days_of_the_month() -> None:
    """Systemd cannot say `the second Tuesday, if it is an odd day`: this is refused, not made into something else."""
    table = timetables.parse("0 3 */2 * 2#2")
    with pytest.raises(UserError, match="Use one of the two"):
        timetables.calendar(table)


def test_following_is_later() -> None:
    """The next time is after the given one, in its time zone, also when that is a time of the schedule itself."""
    times = fires("0 3 * * *", 4)
    assert all(later > earlier for earlier, later in pairwise([BASE, *times]))
    assert [f"{time:%H:%M}" for time in times] == ["03:00"] * 4
    assert times[0].tzinfo is UTC


@given(st.lists(st.text("0123456789*/,-LW#@? SUNJAN", max_size=6), min_size=5, max_size=5).map(" ".join))
@settings(max_examples=300)
def test_any_text_is_read_or_refused(expression: str) -> None:
    """Whatever is typed: a timetable that systemd can have, or a message; never another error."""
    try:
        assert timetables.calendar(timetables.parse(expression))
    except UserError as error:
        assert "nightly.schedule" in str(error)  # noqa: PT017 - either end is right
