"""Times as logs write them, as local times of this machine."""

import re
from datetime import UTC, datetime, timedelta, timezone

MONTHS = "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split()
_MONTH = "|".join(MONTHS)
_CLOCK = r"(?P<h>\d\d):(?P<mi>\d\d):(?P<s>\d\d)(?:[.,](?P<f>\d+))?"
_ZONE = r"(?: ?(?P<zone>Z|UTC|GMT|[+-]\d\d:?\d\d)(?![\d.]))?"

ISO = rf"(?P<y>\d{{4}})[-/](?P<mo>\d\d)[-/](?P<d>\d\d)[T ]{_CLOCK}{_ZONE}"
COMMON = rf"(?P<d>\d\d)/(?P<name>{_MONTH})/(?P<y>\d{{4}}):{_CLOCK}{_ZONE}"  # access logs, HAProxy
APACHE = (
    rf"(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun) (?P<name>{_MONTH}) +(?P<d>\d\d?) {_CLOCK} (?P<y>\d{{4}})"
)
SYSLOG = rf"(?P<name>{_MONTH}) +(?P<d>\d\d?) {_CLOCK}"  # has no year
VLLM = rf"(?<![\d/-])(?P<mo>\d\d)-(?P<d>\d\d) {_CLOCK}"  # has no year
_FORMS = [re.compile(form) for form in (ISO, COMMON, APACHE, SYSLOG, VLLM)]
_AHEAD = timedelta(days=2)
"""How far a date without a year may be ahead before it is one of last year."""


def find(text: str) -> "tuple[datetime, bool] | None":
    """Return the first time in a text, and whether it has a zone.

    A time without a zone is taken as this machine's.
    """
    found = [
        (match.start(), read)
        for form in _FORMS
        if (match := form.search(text)) and (read := read_match(match)) is not None
    ]
    return min(found, key=lambda each: each[0])[1] if found else None


def read_match(match: "re.Match[str]") -> "tuple[datetime, bool] | None":
    """Return the time of a match, and whether it has a zone.

    None: there is no such date.
    """
    part = match.groupdict()
    now = _now()
    month = MONTHS.index(part["name"]) + 1 if part.get("name") else int(part["mo"])
    fraction = int((part["f"] or "0")[:6].ljust(6, "0"))
    clock = (int(part["h"]), int(part["mi"]), int(part["s"]), fraction)
    try:
        at = datetime(int(part.get("y") or now.year), month, int(part["d"]), *clock)
        if not part.get("y") and at > now + _AHEAD:
            at = at.replace(year=now.year - 1)
    except ValueError:
        return None
    zone = part.get("zone")
    if not zone:
        return at, False
    return local(at.replace(tzinfo=_offset(zone))), True


def of_value(value: object) -> datetime | None:
    """Return the time in a field of JSON, a text or a number.

    A number is in seconds, milli-, micro- or nanoseconds; its size tells which.
    """
    if isinstance(value, str):
        if re.fullmatch(r"\d{9,19}(\.\d+)?", value):
            return of_value(float(value))
        found = find(value)
        return found[0] if found else None
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    if not -1e30 < value < 1e30:  # infinite, or no number of nanoseconds
        return None
    seconds = float(value)
    while seconds > 1e11:
        seconds /= 1000
    try:
        return datetime.fromtimestamp(seconds) if seconds > 1e8 else None
    except (ValueError, OverflowError, OSError):
        return None


def local(at: datetime) -> datetime:
    """Return a time with a zone as this machine's local time, without a zone."""
    try:
        return at.astimezone().replace(tzinfo=None)
    except (OverflowError, OSError):
        return at.replace(tzinfo=None)


def _now() -> datetime:
    return datetime.now()


def _offset(zone: str) -> timezone:
    if zone in ("Z", "UTC", "GMT"):
        return UTC
    hours, minutes = int(zone[1:3]), int(zone[-2:])
    ahead = timedelta(hours=hours, minutes=minutes)
    if ahead >= timedelta(hours=24):
        return UTC
    return timezone(-ahead if zone[0] == "-" else ahead)
