"""Apache's words in its error log.

Source: the calls of ap_log_rerror in modules/proxy and server/core_filters.c of Apache 2.4. The
number in front is APR's error: 70007 is a time-out, 70014 an end of file.
"""

from stream_lab.doctor.logs.line import Rule, Who

_TIMEOUT = r"\((70007|110)\)"
_READS = r"AH(01102|01110|01030|00895|10158|01075|01067|01068|02609|01073)"

RULES = (
    Rule(
        rf"{_TIMEOUT}[^:]*: .*(AH00957|AH01114|AH01079|failed to make connection)",
        Who.SERVER,
        "The server behind Apache did not accept a connection in time.",
        "Start the server behind Apache, or correct ProxyPass.",
    ),
    Rule(
        rf"{_TIMEOUT}.*{_READS}",
        Who.PROXY,
        "Apache waited for ProxyTimeout and gave up.",
        "Raise ProxyTimeout, or timeout= of ProxyPass, or send something more often than that.",
    ),
    Rule(
        rf"{_READS}|error reading (status line|response)",
        Who.SERVER,
        "The server behind Apache closed the connection before the answer was complete.",
        "Read the log of the server behind Apache at that time.",
    ),
    Rule(
        r"AH00957|AH01114|AH01079|AH00959|AH01082|attempt to connect to .* failed",
        Who.SERVER,
        "Apache could not reach its server.",
        "Start the server behind Apache, or correct ProxyPass.",
    ),
    Rule(
        r"AH00898",  # comes with AH01102, which says why
        None,
        "Apache could not read the answer of its server.",
    ),
    Rule(
        r"AH00470|AH01585|AH00069|\((32|104)\)[^:]*: .*(core_output_filter|ap_pass_brigade)"
        r"|\((70007|103|104|32)\)[^:]*: .*(AH01095|AH02610)",
        Who.CLIENT,
        "The client closed its connection to Apache.",
    ),
    Rule(
        r"AH00052|child pid \d+ exit signal",
        Who.PROXY,
        "A worker of Apache died.",
        "Read Apache's log before that time; a module may have crashed.",
    ),
    Rule(
        r"AH00491|AH00493|AH00494|AH00492|AH00171|caught SIGTERM|[Gg]raceful restart",
        Who.PROXY,
        "Apache was stopped or restarted.",
        is_orderly=True,
    ),
)
