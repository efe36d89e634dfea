"""The error pages of gateways, byte for byte where the gateway could be asked.

nginx 1.22 and HAProxy 2.6 were asked. Those of AWS's load balancer (ALB), Envoy and Cloudflare are
written after answers in public issues; Cloudflare's is shorter than the real one.
"""

from collections.abc import Callable
from html import escape
from http import HTTPStatus
from random import Random
from typing import Final, Literal, NamedTuple

from fake_vllm.http.exchange import Exchange, Headers, date

Product = Literal["nginx", "alb", "envoy", "cloudflare", "haproxy"]


class Page(NamedTuple):
    """A gateway's own answer, without the framing.

    Attributes:
        status: the status code.
        reason: the words after it.
        headers: all headers but `Connection: close`, in wire order.
        body: the bytes of the body.
    """

    status: int
    reason: str
    headers: Headers
    body: bytes

    def bytes_for(self, exchange: Exchange) -> bytes:
        """Return head and body, as an answer to this request."""
        head = exchange.foreign_head(self.status, self.reason, self.headers)
        return head + (b"" if exchange.method == "HEAD" else self.body)


NGINX_WORDS: Final = {503: "Service Temporarily Unavailable", 504: "Gateway Time-out"}
NGINX_WORDS_OF_413: Final = "Request Entity Too Large"
HAPROXY: Final = {
    413: ("Payload Too Large", "The request entity exceeds the maximum allowed."),
    429: ("Too Many Requests", "You have sent too many requests in a given amount of time."),
    500: ("Internal Server Error", "An internal server error occurred."),
    502: ("Bad Gateway", "The server returned an invalid or incomplete response."),
    503: ("Service Unavailable", "No server is available to handle this request."),
    504: ("Gateway Time-out", "The server didn't respond in time."),
}
ENVOY: Final = {
    429: "local_rate_limited",
    502: "upstream connect error or disconnect/reset before headers. reset reason: protocol error",
    503: "upstream connect error or disconnect/reset before headers. reset reason: connection "
    "failure, transport failure reason: delayed connect error: 111",
    504: "upstream request timeout",
}
CLOUDFLARE: Final = {
    520: "Web server is returning an unknown error",
    521: "Web server is down",
    522: "Connection timed out",
    523: "Origin is unreachable",
    524: "A timeout occurred",
    525: "SSL handshake failed",
    526: "Invalid SSL certificate",
    530: "Origin DNS error",
}
CLOUDFLARE_PAGE: Final = """\
<!DOCTYPE html>
<!--[if gt IE 8]><!--> <html class="no-js" lang="en-US"> <!--<![endif]-->
<head>
<title>{host} | {status}: {words}</title>
<meta charset="UTF-8" />
<meta name="robots" content="noindex, nofollow" />
</head>
<body>
<div id="cf-wrapper">
<div id="cf-error-details" class="p-0">
<h1><span class="inline-block">{words}</span>
<span class="code-label">Error code {status}</span></h1>
<p>Cloudflare Ray ID: <strong class="font-semibold">{ray}</strong></p>
</div>
</div>
</body>
</html>
"""


def no_healthy_upstream() -> Page:
    """Return what Envoy answers while no server behind it is ready."""
    return _envoy_text(503, "no healthy upstream")


def page(product: Product, status: int, host: str) -> Page:
    """Return a gateway's page for a status.

    Args:
        product: the gateway.
        status: the status code, from 400 on.
        host: the host that the client asked, which Cloudflare names.
    """
    return _PAGES[product](status, host)


def _nginx(status: int, host: str) -> Page:
    words = NGINX_WORDS_OF_413 if status == 413 else NGINX_WORDS.get(status) or _words(status)
    return _table(status, words, b"Server: nginx/1.22.1", "<hr><center>nginx/1.22.1</center>\r\n")


def _alb(status: int, host: str) -> Page:
    words = NGINX_WORDS.get(status) or _words(status)
    made = _table(status, words, b"Server: awselb/2.0", "")
    server, day, *others = made.headers
    return made._replace(headers=[server, day, *others])


def _table(status: int, words: str, server: bytes, sign: str) -> Page:
    body = (
        f"<html>\r\n<head><title>{status} {words}</title></head>\r\n<body>\r\n<center><h1>{status} "
        f"{words}</h1></center>\r\n{sign}</body>\r\n</html>\r\n"
    ).encode()
    name, _, value = server.partition(b": ")
    headers = [
        (name, value),
        (b"Date", date()),
        (b"Content-Type", b"text/html"),
        (b"Content-Length", b"%d" % len(body)),
    ]
    return Page(status, words, headers, body)


def _haproxy(status: int, host: str) -> Page:
    words, text = HAPROXY.get(status, (_words(status), f"{_words(status)}."))
    body = f"<html><body><h1>{status} {words}</h1>\n{text}\n</body></html>\n".encode()
    headers = [
        (b"content-length", b"%d" % len(body)),
        (b"cache-control", b"no-cache"),
        (b"content-type", b"text/html"),
    ]
    return Page(status, words, headers, body)


def _envoy(status: int, host: str) -> Page:
    return _envoy_text(status, ENVOY.get(status, _words(status)))


def _envoy_text(status: int, text: str) -> Page:
    headers = [
        (b"content-length", b"%d" % len(text)),
        (b"content-type", b"text/plain"),
        (b"date", date()),
        (b"server", b"envoy"),
    ]
    return Page(status, _words(status), headers, text.encode())


def _cloudflare(status: int, host: str) -> Page:
    ray = f"{Random().getrandbits(64):016x}"
    if status in CLOUDFLARE:
        text = CLOUDFLARE_PAGE.format(
            host=escape(host) or "localhost", status=status, words=CLOUDFLARE[status], ray=ray
        )
        words = "" if status > 511 else _words(status)
    else:
        words = NGINX_WORDS.get(status) or _words(status)
        made = _table(status, words, b"Server: cloudflare", "<hr><center>cloudflare</center>\r\n")
        text = made.body.decode()
    body = text.encode()
    headers = [
        (b"Date", date()),
        (b"Content-Type", b"text/html; charset=UTF-8"),
        (b"Content-Length", b"%d" % len(body)),
        (b"Connection", b"keep-alive"),
        (b"X-Frame-Options", b"SAMEORIGIN"),
        (b"Referrer-Policy", b"same-origin"),
        (
            b"Cache-Control",
            b"private, max-age=0, no-store, no-cache, must-revalidate, post-check=0, pre-check=0",
        ),
        (b"Expires", b"Thu, 01 Jan 1970 00:00:01 GMT"),
        (b"Server", b"cloudflare"),
        (b"CF-RAY", f"{ray}-FRA".encode()),
    ]
    return Page(status, words, headers, body)


def _words(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Error"


_PAGES: Final[dict[Product, Callable[[int, str], Page]]] = {
    "nginx": _nginx,
    "alb": _alb,
    "envoy": _envoy,
    "cloudflare": _cloudflare,
    "haproxy": _haproxy,
}
