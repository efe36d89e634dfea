"""ERP → AI → GPU: which process notices a disconnect, before and after the repair."""

import json
import time
from collections.abc import Iterator

import httpx2
import openai
import psutil
import pytest

from stream_lab import Endpoint, bundled
from stream_lab.experiment.evidence import Unknown
from stream_lab.processes.process import ProcessError
from stream_lab.relay import Caller, Relay, leave
from stream_lab.relay.app import PATHS
from tests.conftest import ledger, wait

QUESTION = {"question": "Why?"}
FREED = 5.0  # seconds, wide: the question is whether, not how fast this machine is
ORPHANED = 1.0
LIMIT = 8.0  # seconds, after which an abandoned answer ends: it would keep the machine busy
PIECES = ["/answer", "/blocking"]
STREAMS = [path for path in PATHS if path not in PIECES]


@pytest.fixture(scope="module")
def gpu() -> Iterator[Endpoint]:
    with bundled(f"endless+time_limit:seconds={LIMIT}", gap=0.02) as endpoint:
        yield endpoint


@pytest.fixture(scope="module")
def relays(gpu: Endpoint) -> Iterator[dict[str, Relay]]:
    with (
        Relay("before", gpu) as before,
        Relay("after", gpu) as after,
        Relay("before", gpu, hides=True) as hiding,
        Relay("after", gpu, hides=True) as after_hiding,
    ):
        yield {
            "before": before,
            "after": after,
            "before, hiding": hiding,
            "after, hiding": after_hiding,
        }


def freed_after(
    relay: Relay, path: str, gpu: Endpoint, http: httpx2.Client, within: float = FREED
) -> float | None:
    """Seconds from the ERP server's disconnect to the free slot; None: not free in time."""
    known = len(ledger(http, gpu))
    with Caller(relay, path) as caller:
        wait(lambda: any(entry["tokens"] > 3 for entry in ledger(http, gpu)[known:]))
        left = caller.leave()
    while time.monotonic() - left < within:
        entry = ledger(http, gpu)[known]
        if entry["slot_freed"] is not None:
            assert entry["end"] == "client left"
            return float(entry["slot_freed"] - left)
        time.sleep(0.01)
    return None


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("kind", ["after", "after, hiding"])
def test_after_the_repair_the_gpu_is_free_as_soon_as_the_client_disconnects(
    kind: str, path: str, relays: dict[str, Relay], gpu: Endpoint, http: httpx2.Client
) -> None:
    assert freed_after(relays[kind], path, gpu, http) is not None


@pytest.mark.parametrize("path", PIECES)
@pytest.mark.parametrize("kind", ["before", "before, hiding"])
def test_before_the_repair_the_gpu_goes_on_with_a_whole_answer_after_the_disconnect(
    kind: str, path: str, relays: dict[str, Relay], gpu: Endpoint, http: httpx2.Client
) -> None:
    assert freed_after(relays[kind], path, gpu, http, within=ORPHANED) is None


@pytest.mark.skipif(
    openai.VERSION < "3",
    reason="openai 2 leaves the connection open under a stream that is cancelled",
)
@pytest.mark.parametrize("path", STREAMS)
def test_a_streaming_response_notices_the_disconnect_even_before_the_repair(
    path: str, relays: dict[str, Relay], gpu: Endpoint, http: httpx2.Client
) -> None:
    assert freed_after(relays["before"], path, gpu, http) is not None


def test_polling_is_disconnected_helps_until_a_middleware_hides_the_disconnect(
    relays: dict[str, Relay], gpu: Endpoint, http: httpx2.Client
) -> None:
    assert freed_after(relays["before"], "/polite", gpu, http) is not None
    assert freed_after(relays["before, hiding"], "/polite", gpu, http, within=ORPHANED) is None
    assert freed_after(relays["after, hiding"], "/polite", gpu, http) is not None


@pytest.mark.parametrize("kind", ["after", "after, hiding"])
class TestTheClientsDeadline:
    @pytest.mark.parametrize("path", PIECES)
    def test_before_the_first_byte_it_is_a_504(
        self, kind: str, path: str, relays: dict[str, Relay], gpu: Endpoint, http: httpx2.Client
    ) -> None:
        answer = http.post(
            f"{relays[kind].url}{path}", json=QUESTION, headers={"x-timeout-ms": "1000"}
        )
        assert answer.status_code == 504
        assert answer.json()["error"]["type"] == "deadline_exceeded"
        wait(lambda: ledger(http, gpu)[-1]["slot_freed"] is not None)

    @pytest.mark.parametrize("path", ["/sse", "/events"])
    def test_in_a_stream_of_events_it_is_the_last_event(
        self, kind: str, path: str, relays: dict[str, Relay], http: httpx2.Client
    ) -> None:
        answer = http.post(
            f"{relays[kind].url}{path}", json=QUESTION, headers={"x-timeout-ms": "1000"}
        )
        *tokens, last = answer.text.replace("\r\n", "\n").strip().split("\n\n")
        assert answer.status_code == 200
        assert len(tokens) > 3
        assert last.startswith("event: error\ndata: ")
        assert json.loads(last.partition("data: ")[2])["error"]["type"] == "deadline_exceeded"

    def test_a_text_that_has_begun_is_cut_so_that_it_does_not_look_whole(
        self, kind: str, relays: dict[str, Relay], http: httpx2.Client
    ) -> None:
        with pytest.raises(httpx2.RemoteProtocolError, match="incomplete"):
            http.post(f"{relays[kind].url}/text", json=QUESTION, headers={"x-timeout-ms": "1000"})


def test_only_the_repair_stops_a_middleware_from_making_half_an_answer_look_whole(
    relays: dict[str, Relay], http: httpx2.Client
) -> None:
    """Starlette's BaseHTTPMiddleware ends a stream properly when the generator under it fails."""
    with (
        bundled("close:after=5", gap=0.01) as broken,
        Relay("before", broken, hides=True) as before,
    ):
        assert len(http.post(f"{before.url}/text", json=QUESTION).text.split()) == 5
    with (
        bundled("close:after=5", gap=0.01) as broken,
        Relay("after", broken, hides=True) as after,
        pytest.raises(httpx2.RemoteProtocolError, match="incomplete"),
    ):
        http.post(f"{after.url}/text", json=QUESTION)


@pytest.mark.parametrize(
    ("kind", "path", "server"),
    [("before", "/answer", "still generating"), ("after", "/answer", "stopped")],
)
def test_the_metrics_show_the_work_of_the_gpu(
    kind: str, path: str, server: str, relays: dict[str, Relay], gpu: Endpoint
) -> None:
    request = leave(relays[kind], gpu, path, after=0.5, watch=0.5)
    assert request.server == server
    assert 0.5 <= request.left < request.watched
    assert (request.freed is None) == (server == "still generating")
    assert request.tokens > 5 or server == "stopped"


def test_a_gpu_that_stopped_by_itself_proves_nothing() -> None:
    with bundled("abort:after=3", gap=0.01) as short, Relay("before", short) as relay:
        request = leave(relay, short, "/answer", after=0.5, watch=0.2)
    assert isinstance(request.server, Unknown)
    assert "not running when the client disconnected" in request.server


@pytest.mark.parametrize("said", ["-5", "0", "abc", "", "99999999999", "1.5"])
def test_a_bad_deadline_costs_no_token(
    said: str, relays: dict[str, Relay], gpu: Endpoint, http: httpx2.Client
) -> None:
    known = len(ledger(http, gpu))
    answer = http.post(
        f"{relays['after'].url}/answer", json=QUESTION, headers={"x-timeout-ms": said}
    )
    assert answer.status_code == (504 if said in ("-5", "0") else 400)
    assert set(answer.json()["error"]) == {"type", "message"}
    assert len(ledger(http, gpu)) == known


def test_a_relay_that_does_not_start_says_why(
    gpu: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", "/nowhere")
    monkeypatch.setattr("sys.executable", "/bin/false")
    with pytest.raises(ProcessError, match="did not start: it printed nothing"):
        Relay("after", gpu)


def test_a_relay_ends_with_its_parent(gpu: Endpoint) -> None:
    relay = Relay("after", gpu)
    with Caller(relay, "/text"):
        relay.close()
    assert not psutil.pid_exists(relay.pid)
