"""The second labelled set of logs: excerpts, and the causes that the doctor may give.

The excerpts are in the folder `second_set`. Each has a name, what the examined stream does meanwhile
(`healthy`, or cut in its middle by `close` or `reset`), the expected cause or causes, the source of
the wording, and the text. A time in the text is `{FORMAT now}` or `{FORMAT now-AGE}`, with a format
of `TIMES` and an age such as `30d`, `2h`, `5m` or `10s`.
"""

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal

import yaml

from stream_lab.doctor import Cause

FOLDER = Path(__file__).parent / "second_set"

TIMES = {
    "nginx": "%Y/%m/%d %H:%M:%S",
    "clf": "%d/%b/%Y:%H:%M:%S %z",
    "gunicorn": "%Y-%m-%d %H:%M:%S %z",
    "haproxy": "%d/%b/%Y:%H:%M:%S.%L",
    "apache": "%a %b %d %H:%M:%S.%f %Y",
    "envoy": "%Y-%m-%d %H:%M:%S.%L",
    "syslog": "%b %e %H:%M:%S",
    "python": "%Y-%m-%d %H:%M:%S,%L",
    "vllm": "%m-%d %H:%M:%S",
    "rfc3339": "%Y-%m-%dT%H:%M:%S.%f%Z",
    "kubectl": "%a, %d %b %Y %H:%M:%S %z",
    "klog": "%m%d %H:%M:%S.%f",
    "pg": "UTC %Y-%m-%d %H:%M:%S.%L",
    "epoch": "%s.%f",
    "z": "UTC %Y-%m-%dT%H:%M:%SZ",
    "z3": "UTC %Y-%m-%dT%H:%M:%S.%LZ",
    "z6": "UTC %Y-%m-%dT%H:%M:%S.%fZ",
    "z9": "UTC %Y-%m-%dT%H:%M:%S.%f000Z",
}
"""Formats of `strftime`, in local time, or in UTC where they begin with it.

Besides: `%L`, the milliseconds; `%Z`, the zone as +01:00; `%s`, the seconds since 1970.
"""

PLACEHOLDER = re.compile(r"\{(\w+) now(?:-(\d+)([smhd]))?\}")
UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


@dataclass(frozen=True)
class Excerpt:
    """A part of a log and its label.

    Attributes:
        name: unique in the set.
        stream: what the examined stream does meanwhile.
        expected: the right causes; several only where each is as true as the others.
        source: the product that wrote these words, or where they are published.
        text: the log, with placeholders for the times.
    """

    name: str
    stream: Literal["healthy", "close", "reset"]
    expected: tuple[Cause, ...]
    source: str
    text: str

    def at(self, now: datetime) -> str:
        """Return the text with its times; `now` is an aware time."""

        def written(found: re.Match[str]) -> str:
            name, number, unit = found.groups()
            age = timedelta(**{UNITS[unit]: int(number)}) if number else timedelta()
            return _written(now - age, TIMES[name])

        return PLACEHOLDER.sub(written, self.text)


def _written(moment: datetime, form: str) -> str:
    utc = form.startswith("UTC ")
    moment = moment.astimezone(UTC if utc else None)
    zone = moment.isoformat()[-6:]
    for directive, value in {
        "%L": f"{moment.microsecond // 1000:03d}",
        "%Z": zone,
        "%s": str(int(moment.timestamp())),
    }.items():
        form = form.replace(directive, value)
    return moment.strftime(form.removeprefix("UTC "))


def excerpts() -> list[Excerpt]:
    """Return all excerpts of the set."""
    return [
        Excerpt(
            name=entry["name"],
            stream=entry["stream"],
            expected=tuple(Cause(cause) for cause in _listed(entry["expected"])),
            source=entry["source"],
            text=entry["text"],
        )
        for path in sorted(FOLDER.glob("*.yaml"))
        for entry in yaml.safe_load(path.read_text(encoding="utf-8"))
    ]


def _listed(value: str | list[str]) -> list[str]:
    return [value] if isinstance(value, str) else value
