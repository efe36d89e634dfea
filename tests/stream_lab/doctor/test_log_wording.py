"""Products' own lines about the end of a stream, in their own formats."""

import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pytest

from stream_lab.doctor.logs import Line, lines_of

AT = datetime(2026, 11, 27, 10)
"""The time of every line that has one, on a machine whose clock runs at UTC."""

WORDING = {
    "gunicorn": r"""
server|[2026-11-27 10:00:00 +0000] [7] [WARNING] Worker with pid 14824 was terminated due to signal 9
server|[2026-11-27 10:00:00 +0000] [7] [ERROR] Worker (pid:14824) was sent SIGKILL! Perhaps out of memory?
server|[2026-11-27 10:00:00 +0000] [7] [ERROR] Worker (pid:14824) was sent code 139!
server|[2026-11-27 10:00:00 +0000] [7] [WARNING] Worker (pid:14824) was sent SIGSEGV!
server*|[2026-11-27 10:00:00 +0000] [7] [WARNING] Worker (pid:14824) was sent SIGTERM!
server*|[2026-11-27 10:00:00 +0000] [7] [WARNING] Worker with pid 14824 was terminated due to signal 15
server|[2026-11-27 10:00:00 +0000] [7] [ERROR] Worker (pid:14824) exited with code 3
server*|[2026-11-27 10:00:00 +0000] [7] [INFO] Autorestarting worker after current request.
server|web-1  | [2026-11-27 10:00:00 +0000] [7] [CRITICAL] WORKER TIMEOUT (pid:9)
""",
    "uvicorn": r"""
client|INFO:     10.0.0.1:4444 - "POST /chat HTTP/1.1" 499
server|INFO:     10.0.0.1:4444 - "POST /chat HTTP/1.1" 504 Gateway Timeout
-|INFO:     10.0.0.1:4444 - "POST /chat HTTP/1.1" 200 OK
server|{"levelname":"INFO","message":"10.0.0.1:4444 - \"POST /chat HTTP/1.1\" 504","asctime":"2026-11-27 10:00:00,123","name":"uvicorn.access"}
server*|INFO:     Shutting down
""",
    "nginx, access log": r"""
client|{"@timestamp":"2026-11-27T10:00:00Z","http":{"request":{"method":"POST"},"response":{"status_code":499}},"url":{"path":"/chat"},"user_agent":{"original":"x"}}
client|{"@timestamp":"2026-11-27T10:00:00Z","http.request.method":"POST","http.response.status_code":499,"url.path":"/chat"}
client|{"t":"2026-11-27T10:00:00Z","r":"POST /chat HTTP/1.1","s":499}
proxy|{"t":"2026-11-27T10:00:00Z","http_request":"POST /chat HTTP/1.1","st":"504"}
client|10.0.0.1 [27/Nov/2026:10:00:00 +0000] status=499 rt=30.0 request="POST /chat HTTP/1.1" ua="x"
client|{"insertId":"x","httpRequest":{"requestMethod":"POST","requestUrl":"https://host/chat","status":499,"userAgent":"x"},"timestamp":"2026-11-27T10:00:00Z"}
-|{"insertId":"x","httpRequest":{"requestMethod":"GET","requestUrl":"https://host/chat","status":499,"userAgent":"GoogleHC/1.0"},"timestamp":"2026-11-27T10:00:00Z"}
proxy|{"status":504,"request":"POST /chat HTTP/1.1","upstream_status":"504","upstream_header_time":"-","time":"2026-11-27T10:00:00+00:00"}
server|{"upstream_status":"504","time":"2026-11-27T10:00:00+00:00","request_uri":"/chat","request_method":"POST","status":"504"}
proxy|{"time":"2026-11-27T10:00:00+00:00","request_uri":"/chat","request_method":"POST","status":"504"}
client|{"http_user_agent":"python-httpx/0.28","status":"499","request_time":"30.001","request":"POST /chat HTTP/1.1","msec":"1795773600.123"}
-|{"http_user_agent":"kube-probe/1.30","status":"499","request_time":"30.001","request":"GET /chat HTTP/1.1","msec":"1795773600.123"}
-|10.0.0.1 - - [27/Nov/2026:10:00:00 +0000] "GET /health HTTP/1.1" 499 0 "-" "curl/8.5.0"
-|10.0.0.1 - - [27/Nov/2026:10:00:00 +0000] "GET / HTTP/1.1" 499 0 "-" "ELB-HealthChecker/2.0"
-|10.0.0.1 - - [27/Nov/2026:10:00:00 +0000] "GET / HTTP/1.1" 499 0 "-" "GoogleHC/1.0"
client|10.0.0.1 - - [27/Nov/2026:10:00:00 +0000] "POST /chat HTTP/1.1" 499 0 "-" "curl/8.5.0"
proxy|10.0.0.1 - - [27/Nov/2026:10:00:00 +0000] "POST /chat HTTP/1.1" 504 167 "-" "curl/8.5.0"
proxy|10.0.0.1 - - [27/Nov/2026:10:00:00 +0000] "POST /chat HTTP/1.1" 504 167 "-" "curl/8.5.0" 500 60.001 [default-chat-80] [] 10.1.1.1:8000 0 60.000 504 abcdef0123
server|10.0.0.1 - - [27/Nov/2026:10:00:00 +0000] "POST /chat HTTP/1.1" 504 167 "-" "curl/8.5.0" 500 60.001 [default-chat-80] [] 10.1.1.1:8000 167 45.000 504 abcdef0123
server|10.0.0.1 - - [27/Nov/2026:10:00:00 +0000] "POST /chat HTTP/1.1" 504 167 "-" "curl/8.5.0" rt=60.0 us=504
""",
    "nginx, error log": r"""
server|2026-11-27T10:00:00.123456789Z stderr F 2026/11/27 10:00:00 [error] 29#29: *1 upstream prematurely closed connection while reading upstream, client: 1.1.1.1, server: , request: "POST /chat HTTP/1.1", upstream: "http://1/chat"
server|2026-11-27T10:00:00.123456789Z 2026/11/27 10:00:00 [error] 29#29: *1 recv() failed (104: Connection reset by peer) while reading response header from upstream, client: 1.1.1.1, server: , request: "POST /chat HTTP/1.1", upstream: "http://1/chat"
server|Nov 27 10:00:00 web1 nginx[123]: 2026/11/27 10:00:00 [error] 29#29: *1 SSL_do_handshake() failed (SSL: error) while SSL handshaking to upstream, client: 1.1.1.1, request: "POST /chat HTTP/1.1"
-|2026/11/27 10:00:00 [info] 29#29: *1 SSL_do_handshake() failed (SSL: error:0A00) while SSL handshaking, client: 1.1.1.1, server: 0.0.0.0:443
-|2026/11/27 10:00:00 [info] 29#29: *1 peer closed connection in SSL handshake (104: Connection reset by peer) while SSL handshaking, client: 1.1.1.1, server: 0.0.0.0:443
-|2026/11/27 10:00:00 [info] 29#29: *1 recv() failed (104: Connection reset by peer) while waiting for request, client: 1.1.1.1, server: 0.0.0.0:80
-|2026/11/27 10:00:00 [info] 29#29: *1 client prematurely closed connection while reading client request headers, client: 1.1.1.1
-|2026/11/27 10:00:00 [info] 29#29: *1 client timed out (110: Connection timed out) while waiting for request, client: 1.1.1.1
-|2026/11/27 10:00:00 [info] 29#29: *1 client 1.1.1.1 closed keepalive connection (104: Connection reset by peer)
client|2026/11/27 10:00:00 [info] 29#29: *1 writev() failed (32: Broken pipe) while sending to client, client: 1.1.1.1, request: "POST /chat HTTP/1.1"
server|2026/11/27 10:00:00 [error] 29#29: *1 writev() failed (32: Broken pipe) while sending request to upstream, client: 1.1.1.1, request: "POST /chat HTTP/1.1"
server|2026/11/27 10:00:00 [error] 29#29: *1 connect() to unix:/run/g.sock failed (11: Resource temporarily unavailable) while connecting to upstream, client: 1, request: "POST /chat HTTP/1.1"
server|2026/11/27 10:00:00 [error] 29#29: *1 no live upstreams while connecting to upstream, client: 1.1.1.1, request: "POST /chat HTTP/1.1"
proxy*|2026/11/27 10:00:00 [notice] 1#1: signal 15 (SIGTERM) received from 24962, exiting
-|2026/11/27 10:00:00 [notice] 1#1: using the "epoll" event method
client|{"log":"2026/11/27 10:00:00 [info] 6#6: *8 epoll_wait() reported that client prematurely closed connection, so upstream connection is closed too while sending request to upstream, client: 10.0.126.33, server: , request: \"POST /chat HTTP/1.1\"\n","stream":"stderr","time":"2026-11-27T10:00:00.5Z"}
client|{"MESSAGE":"2026/11/27 10:00:00 [info] 6#6: *8 client prematurely closed connection while sending request to upstream, client: 1, request: \"POST /chat HTTP/1.1\"","__REALTIME_TIMESTAMP":"1795773600123456","SYSLOG_IDENTIFIER":"nginx"}
client|2026/11/27 10:00:00 [info] 29#29: *1 client prematurely closed connection, so upstream connection is closed too (104: Connection reset by peer) while reading upstream, client: 1.1.1.1, request: "POST /chat HTTP/2.0"
proxy|2026/11/27 10:00:00 [error] 29#29: *1 upstream timed out (60: Operation timed out) while reading upstream, client: 1.1.1.1, request: "POST /chat HTTP/1.1"
proxy|2026/11/27 10:00:00 [error] 29#29: *1 upstream timed out (110: Connection timed out) while proxying upgraded connection, client: 1.1.1.1, request: "GET /ws HTTP/1.1"
server|2026/11/27 10:00:00 [error] 29#29: *1 upstream timed out (110: Connection timed out) while connecting to upstream, client: 1.1.1.1, request: "POST /chat HTTP/1.1"
server|2026/11/27 10:00:00 [error] 29#29: *1 readv() failed (104: Connection reset by peer) while reading upstream, client: 1.1.1.1, request: "POST /chat HTTP/1.1"
server|2026/11/27 10:00:00 [error] 29#29: *1 SSL_read() failed (SSL: error:0A000126:SSL routines::unexpected eof while reading) while reading upstream, client: 1.1.1.1, request: "POST /chat HTTP/1.1"
server|2026/11/27 10:00:00 [error] 29#29: *1 upstream sent invalid chunked response while reading upstream, client: 1.1.1.1, request: "POST /chat HTTP/1.1"
None|2026/11/27 10:00:00 [error] 29#29: *1 upstream sent too big header while reading response header from upstream, client: 1.1.1.1, request: "POST /chat HTTP/1.1"
-|2026/11/27 10:00:00 [info] 29#29: *1 client 1.1.1.1 closed keepalive connection
-|2026/11/27 10:00:00 [info] 29#29: *1 client prematurely closed connection while reading client pipelined request line, client: 1.1.1.1
-|2026/11/27 10:00:00 [crit] 29#29: *1 SSL_write() failed (SSL: error:0A00) while SSL shutting down, client: 1.1.1.1
-|2026/11/27 10:00:00 [error] 29#29: *1 no user/password was provided for basic authentication, client: 1.1.1.1, request: "GET /upstream timed out HTTP/1.1"
-|2026/11/27 10:00:00 [warn] 29#29: *1 upstream server temporarily disabled while reading response header from upstream, client: 1.1.1.1, request: "POST /chat HTTP/1.1"
-|2026/11/27 10:00:00 [error] 29#29: *1 open() "/html/upstream timed out" failed (2: No such file or directory), client: 1.1.1.1, request: "GET /upstream%20timed%20out HTTP/1.1"
""",
    "Apache": r"""
proxy|[Fri Nov 27 10:00:00.658838 2026] [proxy_http:error] [pid 119] (70007)The timeout specified has expired: [client 10.6.0.2:52924] AH01102: error reading status line from remote server localhost:8000, referer: https://x
None|[Fri Nov 27 10:00:00.658760 2026] [proxy:error] [pid 119] [client 10.6.0.2:52924] AH00898: Error reading from remote server returned by /api/chat
server|[Fri Nov 27 10:00:00.658760 2026] [proxy_http:error] [pid 119:tid 1] (20014)Internal error (specific information not available): [client x:1] AH01102: error reading status line from remote server 127.0.0.1:9001
server|[Fri Nov 27 10:00:00.658760 2026] [proxy_http:error] [pid 119:tid 1] (70014)End of file found: [client x:1] AH01110: error reading response
server|[Fri Nov 27 10:00:00.658760 2026] [proxy:error] [pid 119:tid 1] (111)Connection refused: AH00957: http: attempt to connect to 127.0.0.1:8000 (localhost) failed
proxy*|[Fri Nov 27 10:00:00.658760 2026] [mpm_event:notice] [pid 1:tid 1] AH00491: caught SIGTERM, shutting down
""",
    "HAProxy": r"""
proxy|{"time":"2026-11-27T10:00:00Z","status":504,"termination_state":"sH--","request":"POST /chat HTTP/1.1"}
proxy|Nov 27 10:00:00 lb haproxy[14389]: 10.0.1.2:33317 [27/Nov/2026:10:00:00.655] http-in static/srv1 10/0/30/69/109 200 2750 - - sD-- 1/1/1/1/0 0/0 "POST /chat HTTP/1.1"
client|<134>Nov 27 10:00:00 haproxy[14389]: 10.0.1.2:33317 [27/Nov/2026:10:00:00.655] http-in static/srv1 10/0/30/69/109 200 2750 - - CD-- 1/1/1/1/0 0/0 {1wt.eu} {} "POST /chat HTTP/1.1"
server|10.0.1.2:33317 [27/Nov/2026:10:00:00.655] http-in~ static/srv1 10/0/30/69/109 200 2750 - - SD-- 1/1/1/1/0 0/0 "POST /chat HTTP/1.1"
-|10.0.1.2:33317 [27/Nov/2026:10:00:00.655] http-in static/srv1 10/0/30/69/109 200 2750 - - ---- 1/1/1/1/0 0/0 "POST /chat HTTP/1.1"
-|10.0.1.2:33317 [27/Nov/2026:10:00:00.655] http-in http-in/<NOSRV> -1/-1/-1/-1/5000 408 212 - - cR-- 1/1/0/0/0 0/0 "<BADREQ>"
proxy|10.0.1.2:33317 [27/Nov/2026:10:00:00.655] fe be/s 0/0/0/-1/50000 504 194 - - sH-- 1/1/1/1/0 0/0 "POST /chat HTTP/1.1"
""",
    "Traefik": r"""
proxy|time="2026-11-27T10:00:00Z" level=debug msg="'504 Gateway Timeout' caused by: context deadline exceeded"
client|time="2026-11-27T10:00:00Z" level=debug msg="'499 Client Closed Request' caused by: context canceled"
server|time="2026-11-27T10:00:00Z" level=debug msg="'502 Bad Gateway' caused by: dial tcp 172.18.0.3:8000: connect: connection refused"
client|2026-11-27T10:00:00Z DBG github.com/traefik/traefik/v3/pkg/proxy/httputil/proxy.go:117 > 499 Client Closed Request error="context canceled"
client|10.0.0.1 - - [27/Nov/2026:10:00:00 +0000] "POST /chat HTTP/1.1" 499 21 "-" "-" 5 "chat@docker" "http://172.18.0.3:8000" 30000ms
proxy|{"DownstreamStatus":504,"OriginStatus":504,"OriginContentSize":15,"RequestMethod":"POST","RequestPath":"/chat","StartUTC":"2026-11-27T10:00:00Z","msg":""}
server|{"DownstreamStatus":504,"OriginStatus":504,"OriginContentSize":85,"RequestMethod":"POST","RequestPath":"/chat","StartUTC":"2026-11-27T10:00:00Z","msg":""}
client|{"ClientHost":"1.1.1.1","DownstreamStatus":499,"OriginStatus":499,"RequestMethod":"POST","RequestPath":"/chat","StartUTC":"2026-11-27T10:00:00Z","level":"info","msg":"","time":"2026-11-27T10:00:00.5Z"}
-|{"ClientHost":"1.1.1.1","DownstreamStatus":499,"RequestMethod":"GET","RequestPath":"/chat","StartUTC":"2026-11-27T10:00:00Z","request_User-Agent":"kube-probe/1.29","msg":""}
-|time="2026-11-27T10:00:00Z" level=debug msg="http: TLS handshake error from 10.0.0.1:4444: EOF"
""",
    "Envoy": r"""
proxy|[2026-11-27T10:00:00.123Z] "POST /chat HTTP/1.1" 504 UT 100 24 15000 - "-" "python-httpx/0.28" "id" "host" "10.0.0.1:8000"
client|[2026-11-27T10:00:00.123Z] "POST /chat HTTP/1.1" 200 DC 100 2400 5000 - "-" "python-httpx/0.28" "id" "host" "10.0.0.1:8000"
proxy|[2026-11-27T10:00:00.123Z] "POST /chat HTTP/1.1" 504 UT upstream_response_timeout - "-" 100 24 15000 - "-" "python-httpx/0.28" "id" "host" "10.0.0.1:8000" outbound|80||x - 1 2 - default
server|[2026-11-27T10:00:00.123Z] "POST /chat HTTP/1.1" 504 - via_upstream - "-" 100 24 15000 14000 "-" "python-httpx/0.28" "id" "host" "10.0.0.1:8000" outbound|80||x - 1 2 - default
-|[2026-11-27T10:00:00.123Z] "POST /chat HTTP/1.1" 200 - via_upstream - "-" 100 24 15000 14000 "-" "python-httpx/0.28" "id" "host" "10.0.0.1:8000" outbound|80||x - 1 2 - default
server|{"response_code":503,"response_flags":"UC","path":"/chat","method":"POST","start_time":"2026-11-27T10:00:00.123Z","user_agent":"x"}
server|{"duration":1,"method":"POST","path":"/chat","response_code":504,"response_code_details":"via_upstream","response_flags":"-","start_time":"2026-11-27T10:00:00.123Z"}
""",
    "Caddy": r"""
client|2026/11/27 10:00:00.123	ERROR	http.handlers.reverse_proxy	aborting with incomplete response	{"upstream": "127.0.0.1:8000", "request": {"method": "POST", "uri": "/chat"}, "error": "reading: context canceled"}
server|2026/11/27 10:00:00.123	ERROR	http.log.error	dial tcp 127.0.0.1:8000: connect: connection refused	{"request": {"method": "POST", "uri": "/chat"}, "status": 502}
client|{"level":"warn","ts":1795773600.1,"logger":"http.handlers.reverse_proxy","msg":"aborting with incomplete response","upstream":"127.0.0.1:8000","duration":0.1,"request":{"remote_ip":"1","method":"POST","uri":"/chat","headers":{"User-Agent":["x"]}},"error":"reading: context canceled"}
server|{"level":"error","ts":1795773600.1,"logger":"http.handlers.reverse_proxy","msg":"aborting with incomplete response","request":{"method":"POST","uri":"/chat"},"error":"reading: unexpected EOF"}
server|{"level":"error","ts":1795773600.1,"logger":"http.log.error","msg":"dial tcp 127.0.0.1:8000: connect: connection refused","request":{"method":"POST","uri":"/chat"},"duration":0.1,"status":502,"err_id":"x","err_trace":"reverseproxy.statusError"}
client|{"level":"error","ts":1795773600.1,"logger":"http.log.access","msg":"handled request","request":{"method":"POST","uri":"/chat","headers":{"User-Agent":["x"]}},"duration":30.1,"size":0,"status":499}
-|{"level":"error","ts":1795773600.1,"logger":"http.stdlib","msg":"http: TLS handshake error from 10.0.0.1:4444: EOF"}
""",
    "load balancers": r"""
proxy|2026-11-27T10:00:00.945958Z my-loadbalancer 192.168.131.39:2817 10.0.0.1:80 0.000073 -1 -1 504 0 0 29 "POST http://www.example.com:80/chat HTTP/1.1" "curl/7.38.0" - -
proxy|http 2026-11-27T10:00:00.186641Z app/my-lb/50dc6c495c0c9188 192.168.131.39:2817 10.0.0.1:80 0.000 -1 -1 504 - 34 366 "POST http://www.example.com:80/chat HTTP/1.1" "curl/7.46.0" - - arn:aws x "-" "-" "-" 0 2026-11-27T10:00:00.186641Z "forward" "-" "-" "10.0.0.1:80" "-" "-" "-"
server|h2 2026-11-27T10:00:00.186641Z app/my-lb/50dc6c495c0c9188 192.168.131.39:2817 10.0.0.1:80 0.000 1.1 0 504 504 34 366 "POST http://www.example.com:80/chat HTTP/1.1" "curl/7.46.0" - -
client|https 2026-11-27T10:00:00.186641Z app/my-lb/50dc6c495c0c9188 192.168.131.39:2817 10.0.0.1:80 0.000 -1 -1 460 - 34 366 "POST http://www.example.com:80/chat HTTP/1.1" "curl/7.46.0" - -
server|https 2026-11-27T10:00:00.186641Z app/my-lb/50dc6c495c0c9188 192.168.131.39:2817 10.0.0.1:80 0.000 -1 -1 502 - 34 366 "POST http://www.example.com:80/chat HTTP/1.1" "curl/7.46.0" - -
proxy|2026-11-27T10:00:00.123456+00:00 heroku[router]: at=error code=H12 desc="Request timeout" method=POST path="/chat" host=x.herokuapp.com request_id=1 fwd="1.1.1.1" dyno=web.1 connect=0ms service=30000ms status=503 bytes=0 protocol=https
""",
    "applications": r"""
client|2026-11-27 10:00:00,104 INFO stream_deadline.asgi: POST /chat after 4.50 s: the client disconnected; the work was cancelled
server|2026-11-27 10:00:00,104 WARNING stream_deadline.asgi: POST /chat after 4.50 s: The work was not done within the 4.5 s that the client allowed.
server|2026-11-27 10:00:00,104 WARNING stream_deadline.asgi: POST /chat after 4.50 s: The model's server cannot be reached, or hung up. (ConnectError: x)
server|{"event":"Exception in ASGI application","level":"error","timestamp":"2026-11-27T10:00:00Z","exception":"Traceback (most recent call last):\n  File \"/x/httpx/_transports/default.py\", line 1, in x\n    raise\nhttpx.ReadError: x"}
server|2026-11-27 10:00:00,000 ERROR app: model call failed: ConnectionResetError(104, 'Connection reset by peer')
None|2026-11-27 10:00:00,000 ERROR asyncio.exceptions.CancelledError
-|2026-11-27 10:00:00,104 INFO stream_deadline.asgi: POST /chat after 4.50 s: the cancelled work ended with CancelledError
-|2026-11-27 10:00:00,104 WARNING stream_deadline.asgi: POST /chat after 0.00 s: Ignored: X-Timeout-Ms must be a number; got 'x'.
server|2026-11-27 10:00:00,000 level=error stage=llm detail="model call failed: ConnectionResetError" status=500
None|2026-11-27 10:00:00,000 ERROR app: ConnectionResetError(104, 'Connection reset by peer')
client|2026-11-27 10:00:00,000 ERROR app: BrokenPipeError: [Errno 32] Broken pipe
client|2026-11-27 10:00:00,000 WARNING asyncio: socket.send() raised exception.
client|2026-11-27 10:00:00 uwsgi_response_write_body_do(): Broken pipe [core/writer.c line 429] during GET /chat (10.0.0.1)
client|INFO 11-27 10:00:00 [async_llm.py:420] Aborted request chatcmpl-1.
-|2026-11-27 10:00:00 WARNING app: ReadTimeout, retrying in 2 s
-|Nov 27 10:00:00 host kernel: Out of memory: Killed process 4242 (chrome) total-vm:1kB
server|Nov 27 10:00:00 host kernel: Out of memory: Killed process 4242 (gunicorn) total-vm:1kB
-|2026-11-27 10:00:00 INFO app: the model call took 3 s
""",
}
"""Lines by product, each after the party that ended the stream.

"None" is a line that leaves the party open, "-" a line about no stream, and "*" a line of an orderly stop.
"""


@pytest.fixture(autouse=True)
def utc(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "UTC")
    monkeypatch.setattr("stream_lab.doctor.logs.times._now", lambda: AT)  # for dates without a year
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def read(text: str, tmp_path: Path, name: str = "log") -> list[Line]:
    file = tmp_path / name
    file.write_text(text, encoding="utf-8")
    return lines_of([file])


def said(lines: list[Line]) -> str:
    return f"{lines[0].who}{'*' * lines[0].is_orderly}" if lines else "-"


@pytest.mark.parametrize("product", WORDING)
def test_a_line_shows_who_ended_the_stream(product: str, tmp_path: Path) -> None:
    wrong = []
    for case in WORDING[product].strip().splitlines():
        expected, _, line = case.partition("|")
        found = read(f"{line}\n", tmp_path)
        if said(found) != expected:
            wrong.append(f"{said(found)} and not {expected}: {line}")
        if found and "10:00:00" in line:
            assert found[0].at is not None, line
            assert found[0].at.replace(microsecond=0) == AT, line
        if found and ("POST /chat " in line or '"/chat"' in line):
            assert (found[0].path, found[0].method) == ("/chat", "POST"), line
    assert not wrong, "\n".join(wrong)
