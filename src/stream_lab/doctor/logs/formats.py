"""Lines of text, split into fields: error logs, access logs, and everything else.

`read` tries the formats from the most specific to the least. Sources: ngx_log_error and the
directive log_format of nginx; ErrorLogFormat and LogFormat of Apache; `option httplog` of HAProxy
(configuration manual, 8.2.3); the default access log of Envoy and Istio; the access log entries of
AWS ALB; the access formats of uvicorn, gunicorn and Traefik (CLF).
"""

import re
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime

from stream_lab.doctor.logs import keyed, times
from stream_lab.doctor.logs.line import Record
from stream_lab.doctor.logs.prefixes import Stripped, strip

_REQUEST = r'"(?P<method>[A-Z]{3,12}) (?P<path>\S+)(?: HTTP/[\d.]+)?"'
_NGINX_ERROR = re.compile(
    r"\[(?:debug|info|notice|warn|error|crit|alert|emerg)\] \d+#\d+: (?:\*\d+ )?(?P<message>.*)"
)
_NGINX_REQUEST = re.compile(rf"request: {_REQUEST}")
_APACHE_ERROR = re.compile(
    r"\[[\w-]*:\w+\] \[pid \d+(?::tid \d+)?\] (?P<message>.*)|\[\w*:?(?:error|warn|notice)\] "
    r"(?P<old>.*\bAH\d{5}: .*)"
)
_APACHE_PATH = re.compile(r"AH00898: .* returned by (?P<path>/[^\s,]*)")
_HAPROXY = re.compile(
    r"(?P<client>[\d.:a-fA-F]+:\d+) \[[^\]]+\] \S+ \S+/\S+ (?:[\d+-]+/){2,4}[\d+-]+ "
    r"(?:(?P<status>-?\d+) )?\+?\d+ (?:\S+ \S+ )?(?P<flags>[A-Za-z-]{2,4}) (?:\d+/){4}"
)
_ALB = re.compile(
    r"(?:(?:https?|h2|grpcs?|wss?) \S+ )?(?:app/)?\S+ \S+:\d+ (?:\S+:\d+|-) "
    r"-?[\d.]+ -?[\d.]+ -?[\d.]+ (?P<status>\d{3}|-) (?P<upstream>\d{1,3}|-) \d+ \d+ "
    rf'{_REQUEST}(?: "(?P<agent>[^"]*)")?'
)
_ENVOY = re.compile(
    rf"{_REQUEST} (?P<status>\d{{1,3}}) (?P<flags>-|[A-Z]{{2,6}}(?:,[A-Z]{{2,6}})*) (?P<rest>.*)"
)
_ACCESS = re.compile(rf"{_REQUEST} (?P<status>\d{{3}})(?P<rest>(?: .*)?)$")
_UVICORN = re.compile(
    rf"(?:INFO:? +)?(?:\S+:\d+)? ?- {_REQUEST} (?P<status>\d{{3}})(?: [A-Z][\w' -]*)?$"
)
_UVICORN_SOCKET = re.compile(r'(?:INFO:? +)?\S+:\d+ - "WebSocket (?P<path>\S+)" (?P<status>\d{3})')
_TRAEFIK = re.compile(r' \d+ "[^"]*" "[^"]*" \d+ms$')
_INGRESS = re.compile(
    r" \[[^\]]*\] \[[^\]]*\] \S+ (?P<length>\d+|-)(?:, \S+)* \S+(?:, \S+)* "
    r"(?P<upstream>\d{3}|-) \w+$"
)
_EXTRA_UPSTREAM = re.compile(
    r'\b(?:us|ups|upstream_status)[=:]"?(?:[\d, :]*[, :])?(?P<upstream>\d{3})'
)
_EXTRA_HEADER_TIME = re.compile(r'\b(?:uht|upstream_header_time)[=:]"?(?P<time>[\d.]+|-)')
_QUOTED = re.compile(r'"([^"]*)"')
_GUNICORN = re.compile(r"\[\d+\] \[(?:DEBUG|INFO|WARNING|ERROR|CRITICAL)\] (?P<message>.*)")
_BRACKETED = re.compile(r"\[(?P<time>[^\]]{19,40})\] ?")
_MIDDLEWARE = re.compile(r"(?P<method>[A-Z]{3,9}) (?P<path>/\S*) after \d+\.\d\d s: ")
_FAILED = re.compile(
    r"(?:Internal Server Error: |Exception on )(?P<path>/\S*)(?: \[(?P<method>[A-Z]+)\])?"
)
"""Django's and Flask's words for an error in a handler."""
_UWSGI = re.compile(r" during (?P<method>[A-Z]+) (?P<path>/\S*) \(")
_GUNICORN_PATH = re.compile(r"Error handling request (?:(?P<method>[A-Z]+) )?(?P<path>/\S*)")


def read(raw: str) -> Record:
    """Return a line of a log as a record, with the fields that it has."""
    return of(strip(raw), raw)


def of(found: Stripped, raw: str) -> Record:
    """Return a line whose prefixes have been removed as a record."""
    text = found.text.strip()
    if (values := keyed.parse(text) or keyed.parse_console(text)) is not None:
        return keyed.record(values, raw, found, read)
    bracketed = _BRACKETED.match(text)
    if bracketed and times.find(bracketed["time"]) is not None:
        text = text[bracketed.end() :]
    record = Record(raw, text, found.at, found.has_zone, found.source)
    for form in _FORMS:
        if (made := form(text, record)) is not None:
            return made
    return record


def moment(record: Record) -> "tuple[datetime | None, bool]":
    """Return the local time of a record, and whether it came with a zone.

    A time with a zone is preferred, be it in a prefix or in the text. Most records are
    of no interest, so this is not read earlier.
    """
    if record.at is not None and record.has_zone:
        return record.at, True
    own = times.find(record.text[:400])
    if own is not None and (record.at is None or own[1]):
        return own
    return record.at, False


def _nginx_error(text: str, record: Record) -> Record | None:
    if "#" not in text or not (match := _NGINX_ERROR.search(text)):
        return None
    # The client chooses what follows, so its words are not the server's.
    message, _, rest = match["message"].partition(", client: ")
    request = _NGINX_REQUEST.search(rest)
    return _with_request(replace(record, product="nginx", message=message), request)


def _apache_error(text: str, record: Record) -> Record | None:
    if not (match := _APACHE_ERROR.match(text)):
        return None
    message = (match["message"] or match["old"] or "").partition(", referer: ")[0]
    path = _APACHE_PATH.search(message)
    return replace(record, product="apache", message=message, path=path["path"] if path else "")


def _haproxy(text: str, record: Record) -> Record | None:
    if "/" not in text or not (match := _HAPROXY.search(text)):
        return None
    request = re.search(_REQUEST, text[match.end() :])
    flags = "" if "<BADREQ>" in text else match["flags"]
    status = int(match["status"] or 0)
    made = replace(record, product="haproxy", message="", status=status, flags=flags)
    return _with_request(made, request)


def _alb(text: str, record: Record) -> Record | None:
    if not (match := _ALB.match(text)):
        return None
    status, upstream = match["status"], match["upstream"]
    if upstream == "0":  # as the classic load balancer logs a server that did not answer
        upstream = "-"
    path = re.sub(r"^\w+://[^/]+", "", match["path"])
    return replace(
        record,
        product="alb",
        message="",
        status=int(status) if status != "-" else 0,
        upstream=int(upstream) if upstream != "-" else None,
        upstream_answered=upstream != "-",
        method=match["method"],
        path=path or "/",
        agent=match["agent"] or "",
    )


def _envoy(text: str, record: Record) -> Record | None:
    if (
        '"' not in text
        or not (match := _ENVOY.search(text))
        or not re.match(r"\S+ ", match["rest"])
    ):
        return None
    rest, quoted = match["rest"], _QUOTED.findall(match["rest"])
    if match["flags"] == "-" and (not rest[:1].isalnum() or rest.count('"') < 8):
        return None  # a missing size, in the access log of another program
    answered = "via_upstream" in rest
    return replace(
        record,
        product="envoy",
        message="",
        status=int(match["status"]),
        upstream=int(match["status"]) if answered else None,
        upstream_answered=answered or None,
        method=match["method"],
        path=match["path"],
        agent=next((each for each in quoted[1:3] if "/" in each), ""),
        flags="" if match["flags"] == "-" else match["flags"],
    )


def _uvicorn_access(text: str, record: Record) -> Record | None:
    if '"' not in text:
        return None
    if socket := _UVICORN_SOCKET.match(text):
        status, path = int(socket["status"]), socket["path"]
        return replace(
            record, product="uvicorn", message="", status=status, method="GET", path=path
        )
    if not (match := _UVICORN.search(text)):
        return None
    status, method, path = int(match["status"]), match["method"], match["path"]
    return replace(record, product="uvicorn", message="", status=status, method=method, path=path)


def _access(text: str, record: Record) -> Record | None:
    if '"' not in text or not (match := _ACCESS.search(text)):
        return None
    rest = match["rest"]
    quoted = _QUOTED.findall(rest)
    product, upstream, answered = "", None, None
    if _TRAEFIK.search(rest):
        product = "traefik"
    elif ingress := _INGRESS.search(rest):
        product = "nginx"
        upstream = int(ingress["upstream"]) if ingress["upstream"] != "-" else None
        answered = ingress["length"] not in ("0", "-")
    elif extra := _EXTRA_UPSTREAM.search(rest):
        product, upstream = "nginx", int(extra["upstream"])
        header = _EXTRA_HEADER_TIME.search(rest)
        answered = header["time"] != "-" if header else None
    return replace(
        record,
        product=product,
        message="",
        status=int(match["status"]),
        upstream=upstream,
        upstream_answered=answered,
        method=match["method"],
        path=re.sub(r"^\w+://[^/]+", "", match["path"]),
        agent=quoted[1] if len(quoted) > 1 and quoted[1] != "-" else "",
    )


def _gunicorn(text: str, record: Record) -> Record | None:
    if not (match := _GUNICORN.match(text)):
        return None
    request = _GUNICORN_PATH.search(match["message"])
    made = replace(record, product="gunicorn", message=match["message"])
    return _with_request(made, request)


def _middleware(text: str, record: Record) -> Record | None:
    if not (match := _MIDDLEWARE.search(text)):
        return None
    method = "GET" if match["method"] == "WEBSOCKET" else match["method"]
    return replace(
        record,
        product="application",
        message=text[match.end() :],
        method=method,
        path=match["path"],
    )


def _failed(text: str, record: Record) -> Record | None:
    if not (match := _FAILED.search(text) or _UWSGI.search(text)):
        return None
    return _with_request(record, match)


def _with_request(record: Record, match: "re.Match[str] | None") -> Record:
    """Return the record with the method and path of a match, if there is one."""
    if match is None:
        return record
    path = re.sub(r"^\w+://[^/]+", "", match["path"])
    return replace(record, method=match["method"] or "", path=path or "/")


_FORMS: tuple[Callable[[str, Record], Record | None], ...] = (
    _nginx_error,
    _apache_error,
    _gunicorn,
    _haproxy,
    _alb,
    _envoy,
    _uvicorn_access,
    _access,
    _middleware,
    _failed,
)
