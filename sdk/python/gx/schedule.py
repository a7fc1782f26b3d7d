"""When a deployed function runs by itself."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict, Tuple

# The five fields of a cron line: name, least, most.
_FIELDS = (("minute", 0, 59), ("hour", 0, 23), ("day of month", 1, 31), ("month", 1, 12), ("day of week", 0, 7))
_NAMES = {
    "month": ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"),
    "day of week": ("sun", "mon", "tue", "wed", "thu", "fri", "sat"),
}


class Schedule:
    """Base of Cron and Period."""

    def _manifest(self) -> Dict[str, Any]:
        """As app.Schedule has it."""
        raise NotImplementedError


class Cron(Schedule):
    """The moments that a line of five cron fields describes, in a time zone (a name of the IANA database, default UTC).

    Where clocks are put forward or back, a line whose hour field begins with an
    asterisk goes by the time that passes; any other is called once for each time
    that it names: right after the gap if the clock skips it, the first time if
    it comes twice.
    """

    def __init__(self, cron_string: str, timezone: str = "UTC") -> None:
        fields = cron_string.split() if isinstance(cron_string, str) else []
        if len(fields) != len(_FIELDS):
            raise _invalid(f"Cron({cron_string!r}): a schedule has five fields: minute, hour, day of month, month, day of week")
        for text, (name, least, most) in zip(fields, _FIELDS):
            for part in text.split(","):
                _check_part(cron_string, name, part, least, most)
        if not isinstance(timezone, str) or not timezone or timezone.startswith(("/", ".")):
            raise _invalid(f"Cron: timezone={timezone!r}; give a name such as 'Europe/Berlin'")
        self.cron_string = cron_string
        self.timezone = timezone

    def _manifest(self) -> Dict[str, Any]:
        return {"cron": self.cron_string, "timezone": self.timezone}

    def __repr__(self) -> str:
        return f"Cron({self.cron_string!r}, timezone={self.timezone!r})"


class Period(Schedule):
    """Again and again after a time of a second or more, counted from the deployment that brought it.

    Years and months are those of the calendar. Another deployment with the same
    period does not begin it anew.
    """

    def __init__(
        self,
        *,
        years: int = 0,
        months: int = 0,
        weeks: int = 0,
        days: int = 0,
        hours: int = 0,
        minutes: int = 0,
        seconds: float = 0,
    ) -> None:
        parts: Tuple[Tuple[str, float], ...] = (
            ("years", years), ("months", months), ("weeks", weeks), ("days", days),
            ("hours", hours), ("minutes", minutes), ("seconds", seconds),
        )
        for name, value in parts:
            fine = isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value < 1e9
            if not fine or name != "seconds" and value != int(value):
                raise _invalid(f"Period: {name}={value!r}; it must be a number of 0 or more")
        if not any([value for _, value in parts]):
            raise _invalid("Period: give at least one of years, months, weeks, days, hours, minutes, seconds")
        if 0 < seconds < 1 and not any([value for name, value in parts if name != "seconds"]):
            raise _invalid(f"Period: seconds={seconds!r}; a second is the least")
        self.years, self.months, self.weeks, self.days = years, months, weeks, days
        self.hours, self.minutes, self.seconds = hours, minutes, seconds

    def _manifest(self) -> Dict[str, Any]:
        return {"period": {name: value if name == "seconds" else int(value) for name, value in vars(self).items() if value}}

    def __repr__(self) -> str:
        given = [f"{name}={value}" for name, value in vars(self).items() if value]
        return f"Period({', '.join(given)})"


def _check_part(line: str, name: str, part: str, least: int, most: int) -> None:
    span, slash, step = part.partition("/")
    if slash and (not _digits(step) or int(step) < 1):
        raise _invalid(f"Cron({line!r}): {step!r} is no step for {name}")
    if span == "*":
        return
    values = [_number(name, text) for text in span.split("-")]
    if name == "day of week" and len(values) == 2 and values[1] == 0 < values[0]:
        return  # sat-sun
    if not 1 <= len(values) <= 2 or any([not least <= value <= most for value in values]) or values[0] > values[-1]:
        raise _invalid(f"Cron({line!r}): {span!r} is no {name}; it is {least} to {most}, a range a-b, or *")


def _number(name: str, text: str) -> int:
    if _digits(text):
        return int(text)
    names = _NAMES.get(name, ())
    if text.lower() in names:
        return names.index(text.lower()) + (name == "month")
    return -1


def _digits(text: str) -> bool:
    return text.isascii() and text.isdigit()


def _invalid(message: str) -> Exception:
    from gx.exception import InvalidError

    return InvalidError(message)
