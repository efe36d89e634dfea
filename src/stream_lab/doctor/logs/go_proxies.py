"""The words of Traefik and Caddy, which both pass streams on with Go's ReverseProxy.

Sources: pkg/proxy of Traefik 2 and 3, modules/caddyhttp/reverseproxy of Caddy 2, and
net/http/httputil of Go, which logs a body that cannot be copied.
"""

from stream_lab.doctor.logs.line import Rule, Who

_COPY = r"(aborting with incomplete response|read error during body copy|copy error|copyResponse)"
_LIMIT = (
    "Raise the proxy's time-out for answers: responseHeaderTimeout in Traefik, "
    "response_header_timeout or read_timeout in Caddy."
)
_SERVER = "Read the log of the server behind the proxy at that time."

RULES = (
    # Connections without a request, and what the proxy does besides serving requests.
    Rule(
        r"(?i)TLS handshake error|provider|health.?check|acme|certificate|OCSP|dashboard|plugin",
        None,
        "",
    ),
    Rule(
        rf"{_COPY}.*(context canceled|writing: |broken pipe|client disconnected|stream closed)",
        Who.CLIENT,
        "The client closed its connection to the proxy.",
    ),
    Rule(
        rf"{_COPY}.*(i/o timeout|deadline exceeded|timeout)",
        Who.PROXY,
        "The proxy's read time-out ended the answer.",
        _LIMIT,
    ),
    Rule(
        rf"{_COPY}",
        Who.SERVER,
        "The server behind the proxy closed the connection before the answer was complete.",
        _SERVER,
    ),
    Rule(
        r"499 Client Closed Request|context canceled",
        Who.CLIENT,
        "The client closed its connection to the proxy.",
    ),
    Rule(
        r"connection refused|no such host|no route to host|dial tcp.*i/o timeout"
        r"|no upstreams available|no available server",
        Who.SERVER,
        "The proxy could not reach its server.",
        "Start the server behind the proxy, or correct its address.",
    ),
    Rule(
        r"504 Gateway Timeout|timeout awaiting response headers|context deadline exceeded",
        Who.PROXY,
        "The proxy gave up waiting for its server.",
        _LIMIT,
    ),
    Rule(
        r"502 Bad Gateway|unexpected EOF|: EOF|\bEOF$|connection reset by peer|server closed idle",
        Who.SERVER,
        "The server behind the proxy closed or reset the connection.",
        _SERVER,
    ),
    Rule(
        r"I have to go|shutdown complete|Shutting down|Stopping server gracefully|"
        r"servers shutting down",
        Who.PROXY,
        "The proxy was stopped or reloaded.",
        is_orderly=True,
    ),
)
