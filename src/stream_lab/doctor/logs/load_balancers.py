"""Codes of managed load balancers and platforms, which log no words.

Sources: Heroku's error codes; the statusDetails of Google Cloud's load balancers.
"""

from stream_lab.doctor.logs.line import Rule, Who

_APPLICATION = "Read the application's log at that time."

HEROKU = (
    Rule(
        r"^H12$",
        Who.PROXY,
        "Heroku's router waited 30 s for the first byte and gave up.",
        "Send a first byte sooner: headers and a comment of Server-Sent Events.",
    ),
    Rule(
        r"^H(15|28)$",
        Who.PROXY,
        "Heroku's router closed a connection that was silent for 55 s.",
        "Send a comment of Server-Sent Events more often than that.",
    ),
    Rule(r"^H(27|80)$", Who.CLIENT, "The client disconnected from Heroku's router."),
    Rule(
        r"^H(10|11|13|14|16|18|19|20|21|22)$",
        Who.SERVER,
        "The application was down, or closed the connection before its answer was complete.",
        _APPLICATION,
    ),
)

GOOGLE = (
    Rule(r"client_disconnected|client_timed_out", Who.CLIENT, "The client disconnected."),
    Rule(
        r"backend_timeout|backend_early_response",
        Who.PROXY,
        "Google's load balancer gave up after timeoutSec of its backend service.",
        "Raise timeoutSec of the backend service: it bounds the whole answer.",
    ),
    Rule(
        r"backend_connection_closed|failed_to_(connect|pick)|backend_response_corrupted",
        Who.SERVER,
        "The backend closed the connection, or could not be reached.",
        _APPLICATION,
    ),
)
