"""Lines of named values: JSON and logfmt of any product, with keys in any order.

A field is found by its name without case and punctuation, as `request_User-Agent` of Traefik,
`http_user_agent` of nginx and `User-Agent` of Caddy are.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime
from typing import Any

from stream_lab.doctor.logs import times
from stream_lab.doctor.logs.line import Record
from stream_lab.doctor.logs.prefixes import Stripped
from stream_lab.untrusted import read_json

Values = dict[str, Any]

STATUS = """status statuscode downstreamstatus responsecode elbstatuscode httpstatus httpstatuscode
    responsestatus httpresponsestatuscode edgeresponsestatus""".split()
UPSTREAM = """upstreamstatus originstatus targetstatuscode upstreamstatuscode
    upstreamresponsestatus originresponsestatus""".split()
LENGTH = "upstreamresponselength upstreambytesreceived".split()
HEADER_TIME = "upstreamheadertime uht".split()
METHOD = "method requestmethod httpmethod verb httprequestmethod clientrequestmethod".split()
PATH = """xenvoyoriginalpath path uri requesturi requestpath url requesturl httppath
    urlpath urloriginal clientrequesturi clientrequestpath resourcepath""".split()
AGENT = """httpuseragent useragent requestuseragent agent ua headersuseragent clientrequestuseragent
    requestheadersuseragent useragentoriginal""".split()
TIME = """time timestamp ts timelocal timeiso8601 msec asctime datetime starttime startutc
    startlocal edgestarttimestamp requesttime date eventtime realtimetimestamp t""".split()
FLAGS = "responseflags terminationstate tsc".split()
DETAILS = "responsecodedetails statusdetails".split()
MESSAGE = "message msg event textpayload text".split()
ERROR = "error err errormessage reason".split()
LOGGER = "logger loggername name module".split()
SOURCE = "syslogidentifier containername systemdunit service".split()
TRACEBACK = "excinfo exception traceback stacktrace stack exctext errorstack".split()
_LOGFMT = re.compile(r'([A-Za-z_][\w.@-]*)=("(?:[^"\\]|\\.)*"|[^\s"]*)(?=\s|$)')
_REQUEST_LINE = re.compile(r"(?P<method>[A-Z]{3,12}) (?P<path>\S+) HTTP/[\d.]+$")
_STATUS_KEY = re.compile(r"(?<!upstream)(status|code)$|^(sc|st|rc|s)$")
LONGEST = 4000  # characters of a request line
_WORDED = ("caddy", "google", "google-run")  # products whose access log has a message, too
_FEWEST_PAIRS = 3  # of logfmt; a sentence may hold one or two
_OWN_BODIES = (15,)
"""Sizes of the texts that Traefik itself answers with: "Gateway Timeout"."""


def parse(text: str) -> Values | None:
    """Return the values by normalised name. None: it is neither JSON nor logfmt."""
    if text.startswith("{"):
        try:
            body = read_json(text)
        except ValueError:
            return None
        return dict(_flat(body)) if isinstance(body, dict) else None
    if "=" not in text:
        return None
    pairs = _LOGFMT.findall(text)
    is_access = any(_REQUEST_LINE.match(value.strip('"')) for _, value in pairs)
    if len(pairs) < _FEWEST_PAIRS or not (is_access or _LOGFMT.match(text)):
        return None
    return {
        _name(key): value[1:-1].replace('\\"', '"') if value[:1] == '"' else value
        for key, value in pairs
    }


def parse_console(text: str) -> Values | None:
    """Return the values of zap's console format, as Caddy writes it."""
    level, *parts = text.split("\t")
    if not parts or not level.strip().isalpha() or not parts[-1].startswith("{"):
        return None
    values = parse(parts[-1])
    if values is None:
        return None
    named = dict(zip(("logger", "msg"), parts[:-1][-2:], strict=False)) if len(parts) > 2 else {}
    return {**values, **named}


def record(values: Values, raw: str, prefix: Stripped, read: Callable[[str], Record]) -> Record:
    """Return the record of a line of named values.

    Args:
        values: the values by normalised name.
        raw: the line as it was.
        prefix: what the line's prefixes said.
        read: reads a text that one of the values holds.
    """
    at = _time(values)
    if prefix.at is not None and (at is None or prefix.has_zone):
        at = prefix.at
    base = Record(raw, "", at, at is not None, prefix.source or _text(values, SOURCE))
    wrapped = _wrapped(values)
    if wrapped is not None:
        inner = read(wrapped)
        at = base.at or inner.at
        return replace(
            inner, text=raw, at=at, has_zone=at is not None, source=base.source or inner.source
        )
    status, upstream = _number(values, STATUS), _number(values, UPSTREAM)
    method, path = _text(values, METHOD), _text(values, PATH)
    requests = [
        match for text in values.values() if (match := _REQUEST_LINE.match(str(text)[:LONGEST]))
    ]
    if requests:
        method, path = requests[0]["method"], requests[0]["path"]
        if status is None:
            status = _number(values, [name for name in values if _STATUS_KEY.search(name)])
    base = replace(
        base,
        product=_product(values),
        method=method,
        path=re.sub(r"^\w+://[^/]+", "", path),
        agent=_text(values, AGENT) or _text(values, [name for name in values if "agent" in name]),
        traceback=_text(values, TRACEBACK) if "Traceback" in _text(values, TRACEBACK) else "",
    )
    message = " ".join(filter(None, (_text(values, MESSAGE), _text(values, ERROR))))
    if values.get("at") == "error" and "code" in values:
        return replace(base, product="heroku", flags=str(values["code"]), message=message)
    flags, details = _text(values, FLAGS), _text(values, DETAILS)
    if status is not None and (method or path or flags):
        error = message if base.product in _WORDED or not _text(values, MESSAGE) else ""
        return replace(
            base,
            message=error,
            status=status,
            upstream=upstream,
            upstream_answered=_answered(values, details),
            flags="" if flags == "-" else flags or (details if base.product == "google" else ""),
        )
    if not message and not prefix.text.lstrip().startswith("{"):
        return replace(base, message=prefix.text)
    inner = read(message) if message and not message.lstrip().startswith("{") else base
    if inner.status is not None or inner.product:
        inner = replace(inner, text=raw, at=base.at or inner.at, has_zone=base.has_zone)
        return replace(inner, source=base.source, traceback=base.traceback)
    return replace(base, message=message)


def _flat(body: Values, parent: str = "") -> Iterator[tuple[str, Any]]:
    """Yield nested values, the deeper ones first, by their own and their full name."""
    own = []
    for key, value in body.items():
        name = _name(key)
        if isinstance(value, dict):
            yield from _flat(value, parent + name)
        elif isinstance(value, list):
            own += [(name, value[0]), (parent + name, value[0])] if value else []
        else:
            own += [(name, value), (parent + name, value)]
    yield from own


def _name(key: object) -> str:
    return re.sub(r"[^a-z0-9]", "", str(key).lower())


def _text(values: Values, names: list[str]) -> str:
    return next(
        (str(values[name]) for name in names if values.get(name) not in (None, "", "-")), ""
    )


def _number(values: Values, names: list[str]) -> int | None:
    """Return a status; of several, as nginx logs them for several servers, the last one."""
    found = re.findall(r"\b\d{3}\b|\b0\b", _text(values, names))
    return int(found[-1]) if found else None


def _time(values: Values) -> datetime | None:
    return next((at for name in TIME if (at := times.of_value(values.get(name))) is not None), None)


def _answered(values: Values, details: str) -> bool | None:
    """Tell whether the server behind the product answered. None: it is not logged."""
    if details:
        return details in ("via_upstream", "response_sent_by_backend")
    if "originstatus" in values:
        size = str(values.get("origincontentsize", ""))
        return int(size) not in _OWN_BODIES if re.fullmatch(r"[0-9]{1,18}", size) else None
    for name in HEADER_TIME:
        if name in values:
            return str(values[name]).strip() not in ("-", "")
    for name in LENGTH:
        if name in values:
            return str(values[name]).strip() not in ("-", "", "0")
    return None


def _product(values: Values) -> str:
    logger = _text(values, LOGGER)
    if "downstreamstatus" in values or "entrypointname" in values:
        return "traefik"
    if logger.startswith("http."):
        return "caddy"
    if "responseflags" in values or "responsecodedetails" in values:
        return "envoy"
    if "httprequestrequesturl" in values and "textpayload" in values:
        return "google-run"
    if "terminationstate" in values or "tsc" in values:
        return "haproxy"
    if "statusdetails" in values:
        return "google"
    if "upstreamstatus" in values or "upstreamresponsetime" in values:
        return "nginx"
    first = logger.partition(".")[0]
    return first if first in ("uvicorn", "gunicorn", "hypercorn") else ""


def _wrapped(values: Values) -> str | None:
    """Return the line that a log driver has wrapped. None: none has."""
    if isinstance(values.get("log"), str) and "message" not in values and "msg" not in values:
        return str(values["log"])
    if isinstance(values.get("message"), str) and "realtimetimestamp" in values:
        return str(values["message"])
    return None
