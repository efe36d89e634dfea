"""The cause that a product's own line shows, such as a limit."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from stream_lab.doctor.logs import lines_of

NGINX = '2026/11/27 10:00:00 [{}] 29#29: *1 {}, client: 1.1.1.1, server: x, request: "POST /chat HTTP/1.1", host: "x"'
HAPROXY = (
    "Nov 27 10:00:00 lb haproxy[1]: 1.1.1.1:5 [27/Nov/2026:10:00:00.000] f b/s 0/0/0/1/2 {} 1 "
    '- - {}-- 1/1/1/1/0 0/0 "POST /chat HTTP/1.1"'
)
APACHE = "[Fri Nov 27 10:00:00.000000 2026] [{}:error] [pid 7:tid 8] {}"
ENVOY = '[2026-11-27T10:00:00.123Z] "POST /chat HTTP/1.1" {} {} 1 2 3 - "-" "x" "id" "host" "10.0.0.1:8"'
CADDY = (
    '{{"level":"error","ts":1795773600.1,"logger":"http.handlers.reverse_proxy",'
    '"msg":"aborting with incomplete response","error":"{}"}}'
)
ALB = (
    "https 2026-11-27T10:00:00.1Z app/x/1 1.1.1.1:2 10.0.0.1:8 0.0 -1 -1 {} - 34 366 "
    '"POST https://x:443/chat HTTP/1.1" "curl" - -'
)
HEROKU = (
    "2026-11-27T10:00:00.1+00:00 heroku[router]: at=error code={} desc=x method=POST "
    'path="/chat" host=x dyno=web.1 service=1ms status=503 bytes=0'
)
GOOGLE = (
    '{{"httpRequest":{{"requestMethod":"POST","requestUrl":"https://x/chat","status":{}}},'
    '"{}":"{}","timestamp":"2026-11-27T10:00:00Z"}}'
)
TUNNEL = '2026-11-27T10:00:00Z ERR Request failed error="{}" connIndex=3 dest=https://x/chat event=0 type=http'
UVICORN = '2026-11-27 10:00:00 INFO:     1.1.1.1:5 - "POST /chat HTTP/1.1" {}'
COMMON = '1.1.1.1 - - [27/Nov/2026:10:00:00 +0000] "POST /chat HTTP/1.1" {} 197 "-" "curl"'
GIN = '[GIN] 2026/11/27 - 10:00:00 | {} |  59.9s |  1.1.1.1 | POST     "/chat"'
EDGE = (
    '{{"EdgeStartTimestamp":"2026-11-27T10:00:00Z","ClientRequestMethod":"POST",'
    '"ClientRequestURI":"/chat","EdgeResponseStatus":{},"OriginResponseStatus":{}}}'
)
JSON = '{{"time":"2026-11-27T10:00:00Z","request":"POST /chat HTTP/1.1","status":"{}","upstream_status":"{}"}}'
SYSTEM = "Nov 27 10:00:00 node-1 {}"
PYTHON = "2026-11-27 10:00:00 ERROR {}"

FORMS = {
    "nginx": (NGINX, 2),
    "haproxy": (HAPROXY, 2),
    "apache": (APACHE, 2),
    "envoy": (ENVOY, 2),
    "caddy": (CADDY, 1),
    "alb": (ALB, 1),
    "heroku": (HEROKU, 1),
    "google": (GOOGLE, 3),
    "tunnel": (TUNNEL, 1),
    "uvicorn": (UVICORN, 1),
    "common": (COMMON, 1),
    "gin": (GIN, 1),
    "edge": (EDGE, 2),
    "json": (JSON, 2),
    "system": (SYSTEM, 1),
    "python": (PYTHON, 1),
}
"""Forms of lines, and how many fields each has."""

SHOWN = """
idle_cut|nginx|error|upstream timed out (110: Operation timed out) while reading response header from upstream
idle_cut|nginx|error|upstream timed out (110: Connection timed out) while proxying upgraded connection
idle_cut|nginx|info|client timed out (110: Connection timed out) while sending to client
http_error|nginx|crit|connect() to unix:/run/chat.sock failed (2: No such file or directory) while connecting to upstream
http_error|nginx|error|upstream timed out (110: Connection timed out) while connecting to upstream
http_error|nginx|error|no live upstreams while connecting to upstream
http_error|nginx|error|limiting connections by zone "addr"
http_error|nginx|error|limiting requests, excess: 5.915 by zone "one"
-|nginx|warn|delaying request, excess: 0.500, by zone "one"
-|nginx|error|limiting requests, dry run, excess: 1.000 by zone "one"
http_error|nginx|error|upstream sent too big header while reading response header from upstream
bad_framing|nginx|error|upstream sent more data than specified in "Content-Length" header while reading upstream
server_ended|nginx|error|upstream prematurely closed connection while reading upstream
idle_cut|haproxy|200|sD
idle_cut|haproxy|504|sH
idle_cut|haproxy|200|cD
http_error|haproxy|503|SC
http_error|haproxy|503|sC
http_error|haproxy|503|sQ
http_error|haproxy|502|PH
bad_framing|haproxy|200|PD
server_ended|haproxy|200|SD
proxy_ended|haproxy|200|KD
http_error|haproxy|429|--
idle_cut|apache|proxy_http|(70007)The timeout specified has expired: [client 1.1.1.1:5] AH10158: error reading from backend
http_error|apache|proxy|(111)Connection refused: AH00957: HTTP: attempt to connect to 127.0.0.1:8 (127.0.0.1:8) failed
bad_framing|apache|http|(20014)Internal error: [client 1.1.1.1:5] AH01590: Error reading/parsing chunk
total_cut|envoy|504|UT
total_cut|envoy|200|UMSDR
idle_cut|envoy|200|StreamIdleTimeout
idle_cut|envoy|408|SI
http_error|envoy|429|RL
http_error|envoy|503|UO
http_error|envoy|503|UF,URX
bad_framing|envoy|502|UPE
server_ended|envoy|200|UC
proxy_ended|envoy|200|LR
idle_cut|caddy|reading: read tcp 10.0.0.2:4->10.0.0.1:8: i/o timeout
total_cut|caddy|reading: context deadline exceeded
bad_framing|caddy|reading: malformed chunked encoding
server_ended|caddy|reading: unexpected EOF
client_ended|caddy|writing: write tcp 10.0.0.2:443->1.1.1.1:5: broken pipe
idle_cut|alb|504
http_error|alb|502
http_error|alb|503
client_ended|alb|460
idle_cut|heroku|H12
idle_cut|heroku|H28
http_error|heroku|H14
server_ended|heroku|H13
bad_framing|heroku|H17
total_cut|google|200|statusDetails|backend_timeout
http_error|google|502|statusDetails|failed_to_connect_to_backend
server_ended|google|502|statusDetails|backend_connection_closed_before_data_sent_to_client
http_error|google|429|textPayload|The request was aborted because there was no available instance.
total_cut|google|504|textPayload|The request has been terminated because it has reached the maximum request timeout.
client_ended|python|failed to serve incoming request error="Failed to proxy HTTP: Incoming request ended abruptly: context canceled"
server_ended|system|heroku[web.1]: Process exited with status 137
-|system|heroku[web.1]: Process exited with status 0
http_error|nginx|error|client intended to send too large body: 10485761 bytes
client_ended|tunnel|stream 525 canceled by remote with error code 0
http_error|tunnel|Unable to reach the origin service. The service may be down: dial tcp 127.0.0.1:8: connect: connection refused
http_error|uvicorn|503 Service Unavailable
http_error|uvicorn|429 Too Many Requests
server_ended|uvicorn|504 Gateway Timeout
-|uvicorn|400 Bad Request
-|uvicorn|404 Not Found
idle_cut|common|504
http_error|common|502
http_error|common|503
http_error|common|529
client_ended|common|499
client_ended|gin|499
http_error|gin|500
-|gin|200
idle_cut|edge|524|0
http_error|edge|522|0
client_ended|edge|499|0
-|edge|200|200
http_error|json|504|504
http_error|json|502|502
idle_cut|json|504|-
server_ended|system|systemd[1]: chat.service: State 'stop-sigterm' timed out. Killing.
server_ended|system|systemd[1]: chat.service: Watchdog timeout (limit 30s)!
server_ended|system|kubelet[9]: Container chat failed liveness probe, will be restarted
-|system|systemd[1]: chat.service: Deactivated successfully.
http_error|python|slowapi: ratelimit 5 per 1 minute (1.1.1.1) exceeded at endpoint: /chat
http_error|python|Failed to proxy http://127.0.0.1:8/chat Error: connect ECONNREFUSED 127.0.0.1:8
client_ended|python|source=server.go msg="aborting completion request due to client closing the connection"
total_cut|python|Task timed out after 29.03 seconds
total_cut|python|HARAKIRI ON WORKER 1 (pid: 7, try: 1)
http_error|python|uvicorn: Exceeded concurrency limit.
server_ended|python|vllm.engine.async_llm_engine.AsyncEngineDeadError: Task exception was never retrieved
-|python|asyncio - Task exception was never retrieved
-|python|asyncio - Future exception was never retrieved
-|python|celery.app.trace: Task reports.build[b740194b-d707] raised unexpected: ConnectTimeout('x')
"""
"""A cause, the form of a line, and its fields; "-" is a line that shows no end of a stream."""


def cases(name: str) -> Iterator[tuple[str, str]]:
    """Yield each cause of a form, and its line."""
    form, fields = FORMS[name]
    for case in SHOWN.strip().splitlines():
        cause, of, rest = case.split("|", 2)
        if of == name:
            yield cause, form.format(*rest.split("|", fields - 1))


@pytest.mark.parametrize("name", FORMS)
def test_a_line_shows_the_cause_and_not_only_the_party(name: str, tmp_path: Path) -> None:
    file = tmp_path / "log"
    wrong = []
    for cause, line in cases(name):
        file.write_text(f"{line}\n", encoding="utf-8")
        found = lines_of([file])
        shown = str(found[0].cause) if found else "-"
        if shown != cause:
            wrong.append(f"{shown} and not {cause}: {line}")
    assert not wrong, "\n".join(wrong)


BESIDE = """\
2026-11-27 10:00:00 - asyncio - ERROR - Task exception was never retrieved
future: <Task finished name='Task-3' coro=<Syncer.worker() done, defined at /x.py:68> exception=ReadTimeout('')>
Traceback (most recent call last):
  File "/app/sync.py", line 72, in worker
    await client.get("/news")
  File "/x/site-packages/httpx/_client.py", line 1, in get
    raise
httpx.ReadTimeout
"""
THREAD = """\
Exception in thread Thread-7 (poll):
Traceback (most recent call last):
  File "/app/poll.py", line 7, in poll
    raise ValueError("no")
ValueError: no
"""
JOB = """\
2026-11-27 10:00:00 ERROR apscheduler: Job "clean (trigger: interval[0:01:00])" raised an exception
Traceback (most recent call last):
  File "/app/clean.py", line 7, in clean
    requests.get(url)
requests.exceptions.ConnectTimeout: no
"""
ENGINE = """\
ERROR asyncio: Task exception was never retrieved
future: <Task finished name='Task-2' coro=<run_engine_loop()> exception=RuntimeError('x')>
Traceback (most recent call last):
  File "/x/vllm/engine/async_llm_engine.py", line 7, in run_engine_loop
    raise AsyncEngineDeadError("Background loop has errored already.")
vllm.engine.async_llm_engine.AsyncEngineDeadError: Background loop has errored already.
"""


@pytest.mark.parametrize(
    ("text", "ends"),
    [(BESIDE, 0), (THREAD, 0), (JOB, 0), (BESIDE.partition("\n")[2], 0), (ENGINE, 1)],
)
def test_an_error_of_work_beside_the_requests_is_no_end_of_a_stream(
    text: str, ends: int, tmp_path: Path
) -> None:
    file = tmp_path / "log"
    file.write_text(text, encoding="utf-8")
    assert len(lines_of([file])) == ends


WAITS = "[2026-11-27 10:00:00 +0000] [8] [INFO] Waiting for connections to close. (CTRL+C to force quit)\n"
ENDS = "[2026-11-27 10:00:20 +0000] [8] [INFO] Application shutdown complete.\n"
OTHER_ENDS = "[2026-11-27 10:00:20 +0000] [9] [INFO] Application shutdown complete.\n"
MASTER = "[2026-11-27 10:00:30 +0000] [1] [INFO] Shutting down: Master\n"
BARE = "INFO:     Waiting for connections to close. (CTRL+C to force quit)\n"
AGAIN = "INFO:     Started server process [7]\n"


@pytest.mark.parametrize(
    ("text", "is_killed"),
    [
        (WAITS + MASTER, True),
        (WAITS + OTHER_ENDS + MASTER, True),
        (WAITS + ENDS + MASTER, False),
        (WAITS, False),
        (BARE + AGAIN, True),
        (BARE + "INFO:     Finished server process [7]\n" + AGAIN, False),
        (ENDS + MASTER, False),
    ],
)
def test_a_server_that_is_killed_while_it_waits_has_ended_a_stream(
    text: str, is_killed: bool, tmp_path: Path
) -> None:
    file = tmp_path / "log"
    file.write_text(text, encoding="utf-8")
    assert any(not line.is_orderly for line in lines_of([file])) == is_killed
