"""The dashboard page, and the events that it shows."""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from fake_vllm.dashboard import EVERY, stream
from fake_vllm.engine.ledger import Ledger
from fake_vllm.engine.metrics import Metrics
from fake_vllm.testing import FakeVllm
from tests.fake_vllm.browser import CHROMIUM, opened
from tests.fake_vllm.raw import ask, read


@pytest.fixture(scope="module")
def server() -> Iterator[FakeVllm]:
    with FakeVllm("finite:tokens=3", gap=0.005) as fake:
        yield fake


def test_browsers_get_the_page_curl_a_text_and_a_bare_request_vllms_404(server: FakeVllm) -> None:
    with httpx2.Client(trust_env=False) as client:
        page = client.get(server.root + "/", headers={"accept": "text/html,*/*"})
        assert page.headers["content-type"] == "text/html; charset=utf-8"
        assert "/ledger/events" in page.text
        text = client.get(server.root + "/")  # httpx accepts anything, as curl does
        assert text.headers["content-type"] == "text/plain; charset=utf-8"
        assert f"curl {server.root}/ledger" in text.text
        bare = client.build_request("GET", server.root + "/")
        del bare.headers["accept"]
        assert client.send(bare).json() == {"detail": "Not Found"}


def test_the_page_loads_nothing_from_elsewhere(server: FakeVllm) -> None:
    page = httpx2.get(server.root + "/", headers={"accept": "text/html"}, trust_env=False).text
    assert "http://" not in page
    assert "https://" not in page
    assert "src=" not in page


def test_events_report_each_step_of_a_request_as_it_happens(server: FakeVllm) -> None:
    server.clear()
    with (
        httpx2.Client(trust_env=False, timeout=5) as client,
        client.stream("GET", server.root + "/ledger/events") as live,
    ):
        lines = live.iter_lines()
        assert live.headers["content-type"] == "text/event-stream; charset=utf-8"
        with ask(server, "") as asking:
            read(asking, until=b"[DONE]")
        seen = []
        for line in lines:
            if line.startswith("data: ") and "scenario" in line:
                entry = json.loads(line[6:])
                seen.append(
                    (entry["started"] is not None, entry["first_token"] is not None, entry["end"])
                )
                if entry["over"] is not None:
                    break
    assert seen[-1] == (True, True, "finished")
    assert (True, False, "running") in seen or (False, False, "running") in seen


def test_a_viewer_that_disconnects_is_forgotten() -> None:
    class Watching:
        """Stands in for an exchange."""

        blocked = False
        on_gone = on_drained = staticmethod(lambda: None)
        written = b""

        def head(self, *given: object, **more: object) -> bytes:
            return b""

        def write(self, data: bytes) -> None:
            self.written += data

    async def watch() -> tuple[int, int, bytes]:
        ledger, exchange = Ledger(), Watching()
        stream(exchange, ledger, Metrics(100))  # type: ignore[arg-type]
        watched = len(ledger.watchers)
        exchange.on_gone()
        ledger.open("late", "/", "finite", stream=True, prompt_tokens=1, arrived=0.0)
        await asyncio.sleep(EVERY * 1.5)
        return watched, len(ledger.watchers), exchange.written

    watched, left, written = asyncio.run(watch())
    assert (watched, left) == (1, 0)
    assert written.count(b"event: load") == 1
    assert b"late" not in written


@pytest.mark.skipif(
    CHROMIUM is None,
    reason="needs Chromium, which is not on this machine (Debian: apt-get install chromium)",
)
def test_a_browser_shows_running_waiting_and_finished_requests(tmp_path: Path) -> None:
    with FakeVllm("endless", gap=0.05, max_num_seqs=1) as fake:
        with ask(fake, "finite:tokens=2") as done:
            read(done, until=b"[DONE]")
        with ask(fake, "endless") as running, opened(fake.root + "/", tmp_path) as page:
            read(running, until=b"choices")
            with ask(fake, "endless") as waiting:
                read(waiting, until=b"\r\n\r\n")
                page.wait_for("document.querySelectorAll('#requests tr').length == 3")
                states = page.evaluate(
                    "[...document.querySelectorAll('td.end')].map(cell => cell.textContent)"
                )
                assert states == ["waiting", "running", "finished"]  # the newest first
                page.wait_for("document.querySelector('#running').textContent == '1'")
                page.wait_for("document.querySelector('#waiting').textContent == '1'")
                page.wait_for("parseInt(document.querySelector('#rate').textContent) > 5")
            page.wait_for("document.querySelector('td.end').textContent == 'client left'")
            fake.close()
            page.wait_for("!document.querySelector('#lost').hidden")
