"""What a status in an access log means: 499, 460, 504, 502."""

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
    for flag in record.flags.split(","):
        for rule in CODES.get(record.product, ()):
            if flag and rule.regex.search(flag):
                return rule if rule.meaning else None
    name = NAMES.get(record.product, "A proxy")
    if record.status == 499:
        wrote = NAMES.get(record.product, record.product or "nginx")
        return _rule(
            Who.CLIENT,
            f"{wrote} logged 499: the client disconnected before the answer was complete.",
        )
    if record.status == 460 and record.product == "alb":
        return _rule(Who.CLIENT, "AWS ALB logged 460: the client disconnected.")
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
        )
    if record.status == 504:
        return _rule(
            Who.PROXY,
            f"{name} logged 504: it gave up waiting for its server.",
            _LIMITS.get(record.product, _ANY_LIMIT),
        )
    return _rule(
        Who.SERVER,
        f"{name} logged 502: its server refused the connection or closed it.",
        "Read the log of the server behind the proxy at that time.",
    )


def _is_passed_on(record: Record) -> bool:
    """Tell whether the status is that of the server behind the proxy.

    nginx and Traefik also log a status for a server that did not answer, so an empty answer counts
    more.
    """
    if record.upstream_answered is not None:
        return record.upstream_answered and record.upstream in (record.status, None)
    return record.upstream == record.status


def _rule(who: Who, meaning: str, advice: str = "") -> Rule:
    return Rule("", who, meaning, advice)
