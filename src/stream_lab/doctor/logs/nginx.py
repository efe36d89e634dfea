"""nginx's words in its error log.

Source: the calls of ngx_log_error and ngx_connection_error in nginx's src/http and src/event, and
lines of nginx 1.22. The text after "while" is what nginx was doing: `c->log->action`.
"""

from stream_lab.doctor.logs.line import Rule, Who

_READ_LIMIT = (
    "Raise proxy_read_timeout in nginx.conf, or send something more often than that, for instance "
    "a comment of Server-Sent Events."
)
_READ_UPSTREAM = "reading upstream|reading response header from upstream|reading body from upstream"
_SERVER_LOG = "Read the log of the server behind nginx at that time."
_UNREACHABLE = "Start the server behind nginx, or correct proxy_pass."
_IO = r"(recv|readv|read|recvmsg|SSL_read|send|writev|write|sendfile|SSL_write)\(\) failed"

RULES = (
    # Connections without a request: no stream was in them.
    Rule(
        r"while (waiting for request|reading client (pipelined )?request (line|headers)"
        r"|reading PROXY protocol|SSL handshaking(?! to upstream)|keepalive|idling"
        r"|SSL shutting down|closing request|logging request"
        r"|processing (HTTP/2|SPDY) connection|handling (frames|HTTP/3 connection))",
        None,
        "",
    ),
    Rule(  # messages that repeat what a client or a program chose
        r'^(open|stat|lstat|opendir|mkdir|unlink|rename|access)\w*\(\) "|^"[^"]*" (was not|is )'
        r"|^(access forbidden|directory index of|FastCGI sent in stderr|rewritten|limiting)",
        None,
        "",
    ),
    Rule(r"closed keepalive connection|using the \"\w+\" event method", None, ""),
    # What the server behind nginx did.
    Rule(
        r"upstream timed out .*while (connecting|SSL handshaking) to upstream",
        Who.SERVER,
        "The server behind nginx did not accept a connection within proxy_connect_timeout.",
        _UNREACHABLE,
    ),
    Rule(
        r"upstream timed out .*while sending request to upstream",
        Who.PROXY,
        "nginx waited for proxy_send_timeout until its server read the request, and gave up.",
        "Look at the server: it does not read the request. Otherwise raise proxy_send_timeout.",
    ),
    Rule(
        r"upstream timed out .*while proxying upgraded connection",
        Who.PROXY,
        "nginx closed a silent WebSocket after proxy_read_timeout.",
        "Raise proxy_read_timeout in nginx.conf, or send pings more often than that.",
    ),
    Rule(
        r"upstream timed out",
        Who.PROXY,
        "nginx waited for proxy_read_timeout and gave up.",
        _READ_LIMIT,
    ),
    Rule(
        r"upstream prematurely closed|upstream closed (the )?(connection|stream) prematurely",
        Who.SERVER,
        "The server behind nginx closed the connection before the answer was complete.",
        _SERVER_LOG,
    ),
    Rule(
        rf"{_IO}.* while (proxying upgraded connection)",
        None,
        "A side of a WebSocket behind nginx reset the connection.",
    ),
    Rule(
        rf"{_IO}.* while ({_READ_UPSTREAM}|sending request to upstream|reading from upstream)",
        Who.SERVER,
        "The server behind nginx reset the connection, or broke it off.",
        _SERVER_LOG,
    ),
    Rule(
        r"connect\(\)( to \S+)? failed|(SSL_do_handshake\(\) failed|peer closed connection in SSL "
        r"handshake|certificate verify).*to upstream|host not found in upstream",
        Who.SERVER,
        "nginx could not reach its server.",
        _UNREACHABLE,
    ),
    Rule(
        r"no live upstreams",
        Who.SERVER,
        "All servers behind nginx had failed, so it did not ask one.",
        "Read nginx's log before that time for the failures that came first.",
    ),
    Rule(r"upstream server temporarily disabled", None, ""),  # the line before it says why
    Rule(
        r"upstream sent (invalid chunked|an? invalid|invalid|no valid|unexpected|unsupported"
        r"|more data)|upstream (rejected request|sent frame|sent goaway|returned error)",
        Who.SERVER,
        "The server behind nginx broke the protocol.",
        _SERVER_LOG,
    ),
    Rule(
        r"upstream sent too big header",
        None,
        "The headers from the server did not fit in nginx's buffer.",
        "Raise proxy_buffer_size in nginx.conf.",
    ),
    # What the client did.
    Rule(
        rf"client (prematurely )?closed (the )?(connection|stream)|client canceled stream"
        rf"|reported that client|{_IO}.* while (sending|reading client request body)",
        Who.CLIENT,
        "The client closed its connection to nginx.",
    ),
    Rule(
        r"client timed out .*while sending (response )?to client",
        Who.PROXY,
        "The client did not read for send_timeout, so nginx closed its connection.",
        "Look at the client: it does not read. Otherwise raise send_timeout in nginx.conf.",
    ),
    # What nginx itself did.
    Rule(
        r"worker process \d+ exited (on signal|with (fatal )?code [1-9])",
        Who.PROXY,
        "A worker of nginx died.",
        "Read nginx's log before that time; a module may have crashed.",
    ),
    Rule(
        r"worker_connections are not enough",
        Who.PROXY,
        "nginx had no connections left.",
        "Raise worker_connections in nginx.conf.",
    ),
    Rule(
        r"gracefully shutting down|signal (process )?started|signal 1?\d \(SIG(QUIT|TERM|HUP|INT)\)"
        r"|open socket #\d+ left in connection",
        Who.PROXY,
        "nginx was stopped or reloaded.",
        "A reload closes streams after worker_shutdown_timeout.",
        is_orderly=True,
    ),
)
