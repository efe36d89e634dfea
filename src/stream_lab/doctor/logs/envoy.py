"""Envoy's response flags, which Istio and other meshes log, too.

Source: Envoy's documentation of %RESPONSE_FLAGS% (configuration, observability, access logging).
"""

from stream_lab.doctor.logs.line import Rule, Who

RULES = (
    Rule(
        r"upstream connect error or disconnect/reset before headers",
        Who.SERVER,
        "Envoy could not get an answer from its server.",
        "Read the log of the server behind Envoy at that time.",
    ),
)

_SERVER = "Read the log of the server behind Envoy at that time."
FLAGS = (
    Rule(
        r"^(DC|DR|DownstreamConnectionTermination|DownstreamRemoteReset)$",
        Who.CLIENT,
        "The client closed its connection to Envoy.",
    ),
    Rule(
        r"^(UT|UpstreamRequestTimeout)$",
        Who.PROXY,
        "Envoy's route time-out bounded the whole answer.",
        "Set timeout: 0s on the route, and max_stream_duration or a deadline of the application.",
    ),
    Rule(
        r"^(SI|StreamIdleTimeout)$",
        Who.PROXY,
        "Envoy closed a stream that was silent for stream_idle_timeout.",
        "Raise stream_idle_timeout, or send something more often than that.",
    ),
    Rule(
        r"^(UMSDR|UpstreamMaxStreamDurationReached|DT|DurationTimeout)$",
        Who.PROXY,
        "Envoy's longest duration of a stream or connection was over.",
        "Raise max_stream_duration or max_connection_duration.",
    ),
    Rule(
        r"^(UC|UR|UPE|UpstreamConnectionTermination|UpstreamRemoteReset|UpstreamProtocolError)$",
        Who.SERVER,
        "The server behind Envoy closed or reset the connection.",
        _SERVER,
    ),
    Rule(
        r"^(UF|UH|URX|DF|UpstreamConnectionFailure|NoHealthyUpstream|UpstreamRetryLimitExceeded"
        r"|DnsResolutionFailed)$",
        Who.SERVER,
        "Envoy could not reach its server.",
        _SERVER,
    ),
    Rule(
        r"^(UO|OM|LR|IH|UpstreamOverflow|OverloadManagerTerminated|LocalReset)$",
        Who.PROXY,
        "Envoy ended the request itself.",
        "Look at Envoy's circuit breakers and its overload manager.",
    ),
    Rule(r"^(DPE|DownstreamProtocolError)$", Who.CLIENT, "The client broke the protocol."),
)
