"""Codes of managed load balancers, and words of platforms.

Sources: Heroku's error codes; the statusDetails of Google Cloud's load balancers; the pages on
troubleshooting of Cloud Run, App Engine, AWS Lambda and Vercel.
"""

from stream_lab.doctor.diagnosis import Cause
from stream_lab.doctor.logs.line import Rule, Who

_APPLICATION = "Read the application's log at that time."

HEROKU = (
    Rule(
        r"^H12$",
        Who.PROXY,
        "Heroku's router waited 30 s for the first byte and gave up.",
        "Send a first byte sooner: headers and a comment of Server-Sent Events.",
        cause=Cause.IDLE_CUT,
    ),
    Rule(
        r"^H(15|28)$",
        Who.PROXY,
        "Heroku's router closed a connection that was silent for 55 s.",
        "Send a comment of Server-Sent Events more often than that.",
        cause=Cause.IDLE_CUT,
    ),
    Rule(r"^H(27|80)$", Who.CLIENT, "The client disconnected from Heroku's router."),
    Rule(
        r"^H(13|18)$",
        Who.SERVER,
        "The application closed the connection before its answer was complete.",
        _APPLICATION,
    ),
    Rule(
        r"^H17$",
        Who.SERVER,
        "The application's answer broke the protocol.",
        _APPLICATION,
        cause=Cause.BAD_FRAMING,
    ),
    Rule(
        r"^H(10|11|14|16|19|20|21|22|99)$",
        Who.SERVER,
        "The application was down or full, so Heroku's router answered with an error.",
        _APPLICATION,
        cause=Cause.HTTP_ERROR,
    ),
)

GOOGLE = (
    Rule(r"client_disconnected|client_timed_out", Who.CLIENT, "The client disconnected."),
    Rule(
        r"backend_timeout|backend_early_response",
        Who.PROXY,
        "Google's load balancer gave up after timeoutSec of its backend service.",
        "Raise timeoutSec of the backend service: it bounds the whole answer.",
        cause=Cause.TOTAL_CUT,
    ),
    Rule(
        r"failed_to_(connect|pick)|no_healthy|request_body_received_overflow",
        Who.SERVER,
        "The backend could not be reached.",
        _APPLICATION,
        cause=Cause.HTTP_ERROR,
    ),
    Rule(
        r"denied_by_security_policy|rate_limit",
        Who.PROXY,
        "A rule of Google Cloud Armor refused the request.",
        "Look at the rules and rate limits of the security policy.",
        cause=Cause.HTTP_ERROR,
    ),
    Rule(
        r"backend_response_corrupted",
        Who.SERVER,
        "The backend's answer broke the protocol.",
        _APPLICATION,
        cause=Cause.BAD_FRAMING,
    ),
    Rule(
        r"backend_connection_closed",
        Who.SERVER,
        "The backend closed the connection before its answer was complete.",
        _APPLICATION,
    ),
)

WORDS = (
    Rule(
        r"(?i)reached the maximum request timeout|request deadline was exceeded"
        r"|Task timed out after [\d.]+ sec|FUNCTION_INVOCATION_TIMEOUT"
        r"|execution failed due to a timeout|exceeded the maximum execution (time|duration)",
        Who.PROXY,
        "The platform's limit on the whole request ended it.",
        "Raise the platform's limit on a request, or set a deadline of your own below it.",
        cause=Cause.TOTAL_CUT,
    ),
    Rule(
        r"(?i)no available instance|maximum number of (running )?instances|rate exceeded"
        r"|TooManyRequestsException",
        Who.PROXY,
        "The platform had no instance for the request, and refused it.",
        "Raise the number of instances, or the requests that one of them takes.",
        cause=Cause.HTTP_ERROR,
    ),
    Rule(
        r"(?i)connection to the instance had an error|Truncated response body"
        r"|container (instance )?was terminated|memory limit of .* exceeded"
        r"|Runtime exited with error|Memory quota vastly exceeded",
        Who.SERVER,
        "The application's instance failed before its answer was complete.",
        _APPLICATION,
    ),
)
"""Words of platforms that run an application: Cloud Run, App Engine, Lambda, Vercel, Heroku."""
