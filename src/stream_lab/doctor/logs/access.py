"""What a status in an access log means: 499, 460, 504, 502."""

from dataclasses import replace

from stream_lab.doctor.diagnosis import Cause
from stream_lab.doctor.logs import envoy, haproxy, load_balancers
from stream_lab.doctor.logs.line import Record, Rule, Who

NAMES = {
    "nginx": "nginx",
    "apache": "Apache",
    "haproxy": "HAProxy",
    "envoy": "Envoy",
    "traefik": "Traefik",
    "caddy": "Caddy",
    "alb": "AWS ALB",
    "google": "Google's load balancer",
    "google-run": "Cloud Run",
    "cloudflared": "cloudflared",
}
"""Proxies; other products in an access log answer themselves."""
SERVERS = ("uvicorn", "gunicorn", "hypercorn", "application")
CODES = {
    "haproxy": haproxy.STATES,
    "envoy": envoy.FLAGS,
    "heroku": load_balancers.HEROKU,
    "google": load_balancers.GOOGLE,
}
"""Rules for the codes that these products log, by product."""
REFUSALS = {
    429: "a limit on requests refused it",
    500: "the server failed before it answered",
    503: "no server was ready for it, or a limit refused it",
    520: "the server behind it sent no valid answer",
    521: "the server behind it refused the connection",
    522: "the server behind it did not accept the connection in time",
    523: "the server behind it could not be reached",
    525: "TLS with the server behind it failed",
    526: "the certificate of the server behind it is not valid",
    529: "the model's server was overloaded",
    530: "the server behind it could not be found",
}
"""Statuses of a whole answer that is an error, whichever party it is from."""
_ANY_LIMIT = (
    "Raise the proxy's time-out for answers, in nginx proxy_read_timeout; "
    "or send a first byte sooner."
)
_LIMITS = {
    "nginx": "Raise proxy_read_timeout in nginx.conf, or send a first byte sooner.",
    "alb": "Raise idle_timeout.timeout_seconds of the load balancer, or send a first byte sooner.",
    "traefik": "Raise responseHeaderTimeout of the serversTransport, or send a first byte sooner.",
    "caddy": "Raise response_header_timeout in the Caddyfile, or send a first byte sooner.",
    "apache": "Raise ProxyTimeout, or send a first byte sooner.",
}


def meaning_of(record: Record) -> Rule | None:
    """Return the meaning of an access log's line. None: no stream ended."""
    flags = [flag for flag in record.flags.split(",") if flag]
    for rule in CODES.get(record.product, ()):
        if any(rule.regex.search(flag) for flag in flags):
            return _of_answer(rule, record) if rule.meaning else None
    for rule in load_balancers.WORDS if record.message else ():
        if rule.regex.search(record.message):
            return rule
    name = NAMES.get(record.product, "A proxy")
    if record.status == 499:
        wrote = NAMES.get(record.product, record.product or "nginx")
        return _rule(
            Who.CLIENT,
            f"{wrote} logged 499: the client disconnected before the answer was complete.",
        )
    if record.status == 460 and record.product == "alb":
        return _rule(Who.CLIENT, "AWS ALB logged 460: the client disconnected.")
    if record.status in REFUSALS:
        return _rule(
            None if record.product not in SERVERS else Who.SERVER,
            f"{NAMES.get(record.product, record.product) or 'The server'} logged "
            f"{record.status}: {REFUSALS[record.status]}.",
            "Read the log of what answered, and its limits on requests and on connections.",
            Cause.HTTP_ERROR,
        )
    if record.status == 524:
        return _rule(
            Who.PROXY,
            "Cloudflare logged 524: its server sent no byte in time.",
            "Send a first byte sooner: headers and a comment of Server-Sent Events.",
            Cause.IDLE_CUT,
        )
    if record.status not in (502, 504):
        return None
    if record.product in SERVERS or _is_passed_on(record):
        # nginx logs this status also for a server that did not answer.
        is_open = record.product == "nginx" and record.upstream_answered is None
        hedge = "; or nginx gave up, which its error log would say" if is_open else ""
        return _rule(
            Who.SERVER,
            f"The application answered with {record.status} itself{hedge}.",
            "Read the application's log: its own deadline, or its call to the model, has failed.",
            Cause.HTTP_ERROR if is_open or record.status == 502 else None,
        )
    if record.status == 504:
        return _rule(
            Who.PROXY,
            f"{name} logged 504: it gave up waiting for its server.",
            _LIMITS.get(record.product, _ANY_LIMIT),
            Cause.IDLE_CUT,
        )
    return _rule(
        Who.SERVER,
        f"{name} logged 502: its server refused the connection or closed it.",
        "Read the log of the server behind the proxy at that time.",
        Cause.HTTP_ERROR,
    )


def _of_answer(rule: Rule, record: Record) -> Rule:
    """Return a rule for an answer; one that began with 200 is no error."""
    began = record.status is not None and 200 <= record.status < 300
    return replace(rule, cause=None) if began and rule.cause is Cause.HTTP_ERROR else rule


def _is_passed_on(record: Record) -> bool:
    """Tell whether the status is that of the server behind the proxy.

    nginx and Traefik also log a status for a server that did not answer, so an empty answer counts
    more.
    """
    if record.upstream_answered is not None:
        return record.upstream_answered and record.upstream in (record.status, None)
    return record.upstream == record.status


def _rule(who: Who | None, meaning: str, advice: str = "", cause: Cause | None = None) -> Rule:
    return Rule("", who, meaning, advice, cause=cause)
