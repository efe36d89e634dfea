"""HAProxy's words, and its termination states.

Source: HAProxy's configuration manual, "Session state at disconnection". The first character says
which side ended the session, or C and c, S and s whether by an end or by a time-out; the second
one what the session was doing: Q queue, C connect, H headers, D data, T tarpit, L last.
"""

from stream_lab.doctor.logs.line import Rule, Who

RULES = (
    Rule(
        r"Server \S+ is (DOWN|going DOWN)|has no server available",
        Who.SERVER,
        "HAProxy's health check found its server down.",
        "Read the server's log at that time.",
        is_orderly=True,  # no stream need have been in it
    ),
    Rule(
        r"Stopping (proxy|frontend|backend)|(Proxy|Frontend|Backend) \S+ stopped",
        Who.PROXY,
        "HAProxy was stopped or reloaded.",
        is_orderly=True,
    ),
)

_SERVER = "Read the log of the server behind HAProxy at that time."
STATES = (
    Rule(r"^[Cc][Rr]|^PR|^LR", None, ""),  # there was no request
    Rule(
        r"^s[HDL]",
        Who.PROXY,
        "HAProxy waited for `timeout server` and gave up.",
        "Raise `timeout server` in haproxy.cfg, or send something more often than that.",
    ),
    Rule(r"^sT|^.T", None, ""),
    Rule(
        r"^sC",
        Who.SERVER,
        "The server behind HAProxy did not accept a connection within `timeout connect`.",
        "Start the server behind HAProxy, or correct its address.",
    ),
    Rule(
        r"^sQ",
        Who.PROXY,
        "The request waited for `timeout queue` because HAProxy's server was full.",
        "Raise maxconn of the server, or start more servers.",
    ),
    Rule(r"^SC", Who.SERVER, "The server behind HAProxy refused the connection.", _SERVER),
    Rule(
        r"^S",
        Who.SERVER,
        "The server behind HAProxy closed the connection before the answer was complete.",
        _SERVER,
    ),
    Rule(
        r"^c[DHL]",
        Who.PROXY,
        "The client was silent or did not read for `timeout client`, and HAProxy gave up.",
        "Raise `timeout client` in haproxy.cfg to at least `timeout server`.",
    ),
    Rule(r"^[Cc]", Who.CLIENT, "The client closed its connection to HAProxy."),
    Rule(r"^[DU]", Who.PROXY, "HAProxy ended the session because its server was down or back."),
    Rule(r"^K", Who.PROXY, "An operator ended the session in HAProxy."),
    Rule(
        r"^P[HD]",
        Who.PROXY,
        "HAProxy ended the session: the answer was invalid, or a rule denied it.",
    ),
    Rule(r"^[RI]", Who.PROXY, "HAProxy ran out of resources, or found an error of its own."),
)
