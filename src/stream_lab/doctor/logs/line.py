"""The shapes that a log passes through: record, rule, line of evidence."""

import re
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum


class Who(StrEnum):
    """The party that ended a stream."""

    CLIENT = "client"
    PROXY = "proxy"
    SERVER = "server"


class Worker(StrEnum):
    """The class of a gunicorn worker, as far as its --timeout is concerned."""

    SYNC = "sync"  # sends no heartbeat during a request, so the limit bounds the whole request
    LOOP = "loop"  # an event loop sends the heartbeat, so the limit acts when the loop is blocked
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Record:
    """One entry of a log, split into fields.

    Attributes:
        text: the line as it was, for quotation.
        message: the words of the program, without time, level and the client's own text.
        at: its local time on this machine, if a prefix or a field has it. None: neither has.
        has_zone: whether that time came with a zone.
        source: the container, unit or service that a prefix names. Empty: there is no prefix.
        product: the program that wrote it. Empty: the format does not show it.
        status: the status in an access log. None: it is not a line of an access log.
        upstream: the status that the server behind the product sent. None: not logged, or it sent
            none.
        upstream_answered: whether the server behind the product sent an answer. None: not logged.
        method: the method of the request. Empty: not logged.
        path: the path of the request, as logged. Empty: not logged.
        agent: the client's own name. Empty: not logged.
        flags: Envoy's response flags, HAProxy's termination state, a platform's error code.
        traceback: the lines of a traceback that belongs to it. Empty: there is none.
    """

    text: str
    message: str
    at: datetime | None = None
    has_zone: bool = False
    source: str = ""
    product: str = ""
    status: int | None = None
    upstream: int | None = None
    upstream_answered: bool | None = None
    method: str = ""
    path: str = ""
    agent: str = ""
    flags: str = ""
    traceback: str = ""


@dataclass(frozen=True)
class Rule:
    """What a wording means.

    Attributes:
        pattern: a regular expression, searched in the message.
        who: the party that ended the stream. None: the wording leaves it open.
        meaning: what the line means, as a sentence. Empty: no stream was in it; the line is
            skipped.
        advice: what to do. Empty: nothing more than reading the log.
        is_orderly: whether a healthy service logs it, too, for instance when it is deployed.
    """

    pattern: str
    who: Who | None
    meaning: str
    advice: str = ""
    is_orderly: bool = False
    regex: "re.Pattern[str]" = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "regex", re.compile(self.pattern))


@dataclass(frozen=True)
class Line:
    """A log line about the end of a stream.

    Attributes:
        who: the party that ended it. None: the line leaves it open.
        meaning: what the line means, as a sentence.
        text: the line itself, shortened and printable.
        at: its local time on this machine. None: the line has no time.
        advice: what to do. Empty: the line suggests nothing.
        is_orderly: whether a healthy service logs such a line, too.
        worker: the class of the gunicorn worker that its --timeout killed. None: the line is not
            about that.
        method: the method of the request. Empty: the line does not say.
        path: the path of the request. Empty: the line does not say.
        agent: the name of the client's program. Empty: the line does not say.
        has_zone: whether its time came with a zone; otherwise it may be UTC, as in a container.
        is_new: whether it was written during the examination, by its place in the file.
    """

    who: Who | None
    meaning: str
    text: str
    at: datetime | None
    advice: str = ""
    is_orderly: bool = False
    worker: Worker | None = None
    method: str = ""
    path: str = ""
    agent: str = ""
    has_zone: bool = True
    is_new: bool = False
