"""Requests that are refused, answers that fail, connections that are cut."""

import json
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest

from stream_lab.experiment.fake import Fake
from tests.conftest import ledger
from tests.fake_vllm.raw import arrivals, ask, chunks, events, read

# As a real vLLM 0.32 sends it when its engine dies: the only JSON of a stream with spaces in it.
ERROR_EVENT = (
    b'data: {"error": {"message": "EngineCore encountered an issue. See stack trace (above) for the root cause.", '
    b'"type": "InternalServerError", "param": null, "code": 500}}'
)


@pytest.fixture(scope="module")
def running() -> Iterator[Fake]:
    with Fake("finite:tokens=2", gap=0.002) as fake:
        yield fake


@pytest.fixture
def server(running: Fake, http: httpx2.Client) -> Fake:
    http.delete(running.base_url.removesuffix("/v1") + "/ledger")
    return running


def statuses(http: httpx2.Client, fake: Fake, *scenarios: str, stream: bool = True) -> list[int]:
    return [post(http, fake, scenario, stream=stream).status_code for scenario in scenarios]


def post(http: httpx2.Client, fake: Fake, scenario: str, *, stream: bool = True) -> httpx2.Response:
    body: dict[str, Any] = {
        "messages": [{"role": "user", "content": "Hi"}],
        "stream": stream,
        "fake_scenario": scenario,
    }
    return http.post(f"{fake.base_url}/chat/completions", json=body)


class TestRefuse:
    @pytest.mark.parametrize("stream", [True, False])
    def test_the_first_request_gets_the_error_and_the_next_an_answer(
        self, stream: bool, server: Fake, http: httpx2.Client
    ) -> None:
        first, second = (post(http, server, "refuse", stream=stream) for _ in range(2))
        assert first.status_code == 503
        assert first.json()["error"] == {
            "message": "The engine is currently busy and cannot accept new requests. Please try again later or on a different instance.",
            "type": "Service Unavailable",
            "param": None,
            "code": 503,
        }
        assert first.headers["content-type"] == "application/json"
        assert "retry-after" not in first.headers
        assert second.status_code == 200

    @pytest.mark.parametrize(
        ("given", "sent"), [("0.3", "0.3"), ("2", "2"), ("0", "0"), ("86400", "86400")]
    )
    def test_a_refusal_may_have_retry_after(
        self, given: str, sent: str, server: Fake, http: httpx2.Client
    ) -> None:
        answer = post(http, server, f"refuse:status=429,retry_after={given}")
        assert (answer.status_code, answer.headers["retry-after"]) == (429, sent)
        assert answer.json()["error"]["type"] == "Too Many Requests"

    def test_a_401_has_vllms_own_form(self, server: Fake, http: httpx2.Client) -> None:
        answer = post(http, server, "refuse:status=401")
        assert (answer.status_code, answer.json()) == (401, {"error": "Unauthorized"})

    def test_the_ledger_says_that_it_never_started(self, server: Fake, http: httpx2.Client) -> None:
        post(http, server, "refuse:status=500")
        entry = ledger(http, server)[-1]
        assert entry["end"] == "refused"
        assert entry["attempt"] == 1
        assert [
            entry[name] for name in ("started", "first_token", "slot_freed", "client_left")
        ] == [None] * 4

    def test_refuse_acts_n_times_or_always(self, server: Fake, http: httpx2.Client) -> None:
        assert statuses(http, server, *["refuse:times=2"] * 4) == [503, 503, 200, 200]
        assert statuses(http, server, *["refuse:times=0"] * 4) == [503] * 4

    def test_each_scenario_text_is_counted_alone_and_a_key_makes_two_of_one(
        self, server: Fake, http: httpx2.Client
    ) -> None:
        a, b = "refuse:key=a", "refuse:key=b"
        assert statuses(http, server, a, b, a, b, a + "+finite") == [503, 503, 200, 200, 503]

    def test_clearing_the_ledger_clears_the_counts(self, server: Fake, http: httpx2.Client) -> None:
        assert statuses(http, server, "refuse", "refuse") == [503, 200]
        http.delete(server.base_url.removesuffix("/v1") + "/ledger")
        assert statuses(http, server, "refuse", "refuse") == [503, 200]

    def test_two_refusals_give_two_errors_in_turn(self, server: Fake, http: httpx2.Client) -> None:
        row = "refuse:status=429,times=1+refuse:status=502,times=2"
        assert statuses(http, server, row, row, row) == [429, 502, 200]

    def test_the_answer_after_a_refusal_may_have_a_fault(
        self, server: Fake, http: httpx2.Client
    ) -> None:
        text = "refuse:status=429,retry_after=0.3,key=a+endless"
        assert statuses(http, server, text) == [429]
        with ask(server, text) as connection:
            assert len(chunks(read(connection, until=b"choices", seconds=1)[1])) > 0


class TestErrorEvent:
    def test_after_the_tokens_comes_the_error_then_done_and_a_proper_end(
        self, server: Fake, http: httpx2.Client
    ) -> None:
        with ask(server, "finite+error_event:after=3") as connection:
            _, body = read(connection, until=b"0\r\n\r\n")
        assert events(body)[4:] == [ERROR_EVENT, b"data: [DONE]"]
        assert chunks(body)[-1] == b""
        entry = ledger(http, server)[-1]
        assert entry["end"] == "failed"
        assert entry["slot_freed"] is not None

    def test_a_newer_vllm_says_less_and_the_text_may_be_another(self, http: httpx2.Client) -> None:
        with Fake("finite", vllm_version="0.33.0") as newer:
            said = [
                post(http, newer, scenario, stream=False).json()["error"]["message"]
                for scenario in (
                    "error_event",
                    "refuse:status=500",
                    'error_event:message="a, b + c"',
                )
            ]
        death = "The server had an error while processing your request."
        assert said == [death, death, "a, b + c"]

    def test_the_error_may_come_before_any_token(self, server: Fake) -> None:
        with ask(server, "error_event:after=0") as connection:
            assert events(read(connection, until=b"0\r\n\r\n")[1]) == [ERROR_EVENT, b"data: [DONE]"]

    def test_a_whole_answer_is_a_500_with_the_same_error(
        self, server: Fake, http: httpx2.Client
    ) -> None:
        answer = post(http, server, "finite+error_event", stream=False)
        assert answer.status_code == 500
        assert answer.json() == json.loads(ERROR_EVENT[6:])
        assert b", " not in answer.content


class TestReset:
    def test_after_the_tokens_the_connection_is_reset_without_an_end(
        self, server: Fake, http: httpx2.Client
    ) -> None:
        got: list[bytes] = []
        with ask(server, "finite+reset:after=3") as connection, pytest.raises(ConnectionResetError):
            got.extend(data for _, data in arrivals(connection))
        body = b"".join(got).partition(b"\r\n\r\n")[2]
        assert len(events(body)) == 1 + 3
        assert chunks(body)[-1] != b""
        entry = ledger(http, server)[-1]
        assert entry["end"] == "reset"
        assert entry["client_left"] is None
        assert entry["slot_freed"] is not None

    def test_no_token_before_the_reset_is_lost_at_any_pace(self) -> None:
        got: list[bytes] = []
        with (
            Fake("finite", gap=0) as fake,
            ask(fake, "finite+reset:after=6") as connection,
            pytest.raises(ConnectionResetError),
        ):
            got.extend(data for _, data in arrivals(connection))
        assert b"".join(got).count(b"data: ") == 1 + 6

    @pytest.mark.parametrize(
        ("scenario", "stream"),
        [("reset:after=0", True), ("reset:after=0", False), ("finite+reset", False)],
    )
    def test_the_reset_may_come_before_any_header(
        self, scenario: str, stream: bool, server: Fake, http: httpx2.Client
    ) -> None:
        with (
            ask(server, scenario, stream=stream) as connection,
            pytest.raises(ConnectionResetError),
        ):
            connection.recv(1)
        assert ledger(http, server)[-1]["end"] == "reset"
