"""What containers' runtimes, journals and platforms write in front of a program's own line.

Sources: docker logs -t and docker compose logs; kubectl logs --timestamps and --prefix; the CRI's
log format; RFC 3164 and RFC 5424; journalctl -o short and short-iso; Heroku's Logplex.
"""

import re
from dataclasses import dataclass
from datetime import datetime

from stream_lab.doctor.logs import times

_COLOURS = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
_COMPOSE = re.compile(r"(?P<source>[\w][\w.-]*) +\| ?")
_POD = re.compile(r"\[(?P<source>pod/[^\]\s]+)\] ")
_CRI = re.compile(r"(?:stdout|stderr) [FP] ")
_PRIORITY = re.compile(r"<\d{1,3}>1? ?")
_TIME = re.compile(rf"{times.ISO}(?:[ \t]|$)")
_SYSLOG_TIME = re.compile(rf"{times.SYSLOG} ")
_UNIT = re.compile(r"[\w.:-]+ (?P<source>[\w./@-]+)\[\d+\]: ")
_TAG = re.compile(r"[\w.:-]+ (?P<source>[\w./@-]+)(?:\[\d+\])?: ")
_RFC5424 = re.compile(r"[\w.:-]+ (?P<source>[\w./@-]+) (?:\d+|-) \S+ (?:-|\[[^\]]*\]) ")
_LOGPLEX = re.compile(r"(?P<source>(?:app|heroku)\[[\w.-]+\]): ")
_DEEPEST = 5  # prefixes in front of each other


@dataclass(frozen=True)
class Stripped:
    """A line without its prefixes.

    Attributes:
        text: the program's own line, without a time at its beginning.
        at: the time that a prefix or the line's beginning has. None: none there.
        has_zone: whether that time came with a zone.
        source: the container, unit or service that a prefix names. Empty: none does.
    """

    text: str
    at: datetime | None
    has_zone: bool
    source: str


def strip(raw: str) -> Stripped:
    """Remove prefixes. The outermost time with a zone counts, or else the outermost time."""
    text = _COLOURS.sub("", raw).rstrip("\r\n")
    at, has_zone, source = None, False, ""
    for _ in range(_DEEPEST):
        before = text
        priority = _PRIORITY.match(text)
        if priority:
            text = text[priority.end() :]
        timed = _TIME.match(text)
        dated = None if timed else _SYSLOG_TIME.match(text)
        if match := timed or dated:
            text = text[match.end() :]
            read = times.find(match[0])
            if read is not None and (at is None or (read[1] and not has_zone)):
                at, has_zone = read
            named = _RFC5424.match(text) if priority else None
            named = named or (_TAG if dated else _UNIT).match(text)
            if named:
                source, text = source or named["source"], text[named.end() :]
            elif cri := _CRI.match(text):
                text = text[cri.end() :]
        for form in (_COMPOSE, _POD, _LOGPLEX):
            if match := form.match(text):
                source, text = source or match["source"], text[match.end() :]
        if text == before:
            break
    return Stripped(text, at, has_zone, source)
