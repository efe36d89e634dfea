"""The page of `stream-lab new-relay` in Chromium: tokens as they arrive, and four ends."""

import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress

import httpx2
import pytest
from playwright.sync_api import Page, Route

from fake_vllm.testing import FakeVllm
from stream_lab.processes import Browser
from stream_lab.processes.ports import free_port
from stream_lab.relay.new import template
from tests.conftest import needs, wait

pytestmark = needs("chromium")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with Browser() as browser:
        yield browser


@pytest.fixture(scope="module")
def url(fake_vllm_server: FakeVllm) -> Iterator[str]:
    """The template's server, started as its README says."""
    port = free_port()
    environment = {
        **os.environ,
        "BASE_URL": fake_vllm_server.base_url,
        "MODEL": fake_vllm_server.model,
        "PORT": str(port),
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "relay"],
        cwd=template(),
        env={**environment, "PYTHONDONTWRITEBYTECODE": "1"},
    )
    url = f"http://127.0.0.1:{port}"

    def answers() -> bool:
        with suppress(httpx2.TransportError):
            return httpx2.get(f"{url}/health", trust_env=False).status_code == 200
        return process.poll() is not None

    try:
        wait(answers, 60)
        yield url
    finally:
        process.terminate()
        process.wait(15)


@pytest.fixture
def page(browser: Browser, url: str, fake_vllm: FakeVllm) -> Iterator[Page]:
    page = browser.page(url)
    page.set_default_timeout(20_000)
    yield page
    page.close()


def ask(page: Page) -> None:
    page.get_by_label("Your question").fill("Why is the sky blue?")
    page.keyboard.press("Enter")


def end(page: Page, kind: str) -> str:
    """What is said of an end of this kind, once there is one."""
    return page.locator(f".end.{kind}").inner_text()


def some_tokens(page: Page, letters: int = 20) -> None:
    """Wait for the beginning of an answer; the page's policy forbids conditions as JavaScript."""
    begun = re.compile(rf"[\s\S]{{{letters},}}")
    page.locator(".answer").filter(has_text=begun).first.wait_for()


def test_two_answers_in_turn_are_shown_whole(page: Page) -> None:
    ask(page)
    assert end(page, "done") == "Done · This is the whole answer."
    ask(page)
    page.locator(".end.done").nth(1).wait_for()
    assert page.get_by_role("button", name="Send").is_enabled()


@pytest.mark.fake_vllm("endless")
@pytest.mark.parametrize(
    "stop",
    [
        lambda page: page.get_by_role("button", name="Stop").click(),
        lambda page: page.keyboard.press("Escape"),
    ],
    ids=["button", "key"],
)
def test_stop_stops_the_model(
    page: Page, fake_vllm: FakeVllm, stop: Callable[[Page], None]
) -> None:
    ask(page)
    some_tokens(page)
    assert page.get_by_role("log").get_attribute("aria-busy") == "true"
    assert not page.get_by_role("button", name="Send").is_enabled()
    stop(page)
    assert end(page, "stopped") == "Stopped · You stopped it."
    assert page.get_by_role("log").get_attribute("aria-busy") == "false"
    assert fake_vllm.until_freed().end == "client left"


@pytest.mark.fake_vllm("endless")
def test_closing_the_page_stops_the_model(page: Page, fake_vllm: FakeVllm) -> None:
    ask(page)
    some_tokens(page)
    page.close()
    assert fake_vllm.until_freed().end == "client left"
    assert len(fake_vllm.requests) == 1


@pytest.mark.fake_vllm("reset:after=9")
def test_an_error_in_the_middle_is_shown_and_the_text_stays(page: Page) -> None:
    ask(page)
    assert end(page, "error").startswith("Error · The model's server")
    assert page.locator(".answer").inner_text()


@pytest.mark.fake_vllm("refuse:status=503,times=0")
def test_an_error_before_the_first_token_is_shown(page: Page) -> None:
    ask(page)
    assert end(page, "error") == "Error · The model's server is busy; try again later."


@pytest.mark.parametrize("rest", ["", 'event: token\r\ndata: " blue"\r\n', ": ping\r\n\r\n"])
def test_a_stream_that_ends_without_done_is_shown_as_cut_and_requested_once(
    page: Page, rest: str
) -> None:
    asked = []

    def half(route: Route) -> None:
        asked.append(route.request)
        route.fulfill(
            content_type="text/event-stream",
            body=f'event: token\r\ndata: "The sky is"\r\n\r\n{rest}',
        )

    page.route("**/chat", half)
    ask(page)
    assert end(page, "cut").startswith("Cut off · The connection ended before the answer did.")
    assert page.locator(".answer").inner_text() == "The sky is"
    page.wait_for_timeout(1000)
    assert len(asked) == 1


@pytest.mark.fake_vllm("stall:after=5")
def test_a_dead_connection_is_not_awaited(page: Page, fake_vllm: FakeVllm) -> None:
    page.clock.install()
    ask(page)
    some_tokens(page, 5)
    page.clock.fast_forward(46_000)
    assert end(page, "cut").startswith("Cut off · Nothing has been heard")
    assert fake_vllm.until_freed().end == "client left"


def test_a_server_that_is_gone_is_shown_as_an_error(page: Page) -> None:
    page.route("**/chat", lambda route: route.abort())
    ask(page)
    assert end(page, "error") == "Error · The server cannot be reached."


@pytest.mark.parametrize("width", [320, 1400])
def test_nothing_is_wider_than_the_window(page: Page, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 700})
    ask(page)
    end(page, "done")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
