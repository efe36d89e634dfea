"""The samples of /metrics, and the watch during one call."""

import asyncio
import os
import signal

from langchain_core.prompts import ChatPromptTemplate

from stream_lab import Endpoint, observe, verdict
from stream_lab.experiment.endpoint import open_endpoint
from stream_lab.experiment.fake import Fake
from stream_lab.experiment.story import ElapsedChatVllm, PlainChatVllm
from stream_lab.experiment.witness import RUNNING, TOKENS, Witness, read_metrics

PAGE = """# TYPE vllm:num_requests_running gauge
vllm:num_requests_running{engine="0",model_name="m"} 1.0
vllm:num_requests_running{engine="1",model_name="m"} 2.0
vllm:num_requests_running_created{engine="0"} 9.0
vllm:generation_tokens_total{engine="0",model_name="m"} 1.2e+03
"""


def test_series_are_summed_over_their_labels_and_missing_ones_left_out() -> None:
    assert read_metrics(PAGE) == {RUNNING: 3.0, TOKENS: 1200.0}
    assert read_metrics("<html>not found</html>") == {}


def test_a_server_without_metrics_gives_no_samples() -> None:
    with Witness("http://127.0.0.1:9", every=0.01) as witness:
        pass
    assert witness.samples == []


def test_the_story_in_one_test(fake: Endpoint) -> None:
    """In a chain, plain keeps the server busy, and elapsed frees it."""

    async def play() -> list[tuple[str, str]]:
        calls = []
        for model_class in (PlainChatVllm, ElapsedChatVllm):
            chain = ChatPromptTemplate.from_messages([("user", "{q}")]) | model_class(
                **fake.settings, timeout=1.0
            )
            calls.append(
                await observe(
                    chain.astream({"q": "Hi"}), deadline=1.0, server=fake, give_up_after=3.0
                )
            )
        return [(call.verdict, call.server) for call in calls]

    assert asyncio.run(play()) == [
        (verdict.RAN_ON, verdict.Server.RAN_ON),
        (verdict.STOPPED, verdict.Server.STOPPED),
    ]


def test_a_server_killed_in_the_middle_is_a_failure_and_not_a_hang() -> None:
    async def play() -> tuple[str, float]:
        with (
            Fake("endless", gap=0.02) as fake,
            open_endpoint(fake.base_url, fake.model) as endpoint,
        ):
            model = PlainChatVllm(**endpoint.settings, timeout=5, max_retries=0)
            asyncio.get_running_loop().call_later(0.4, os.kill, fake.pid, signal.SIGKILL)
            call = await observe(model.astream("Hi"), deadline=2, server=endpoint)
        return call.verdict, call.recording.ended

    word, ended = asyncio.run(play())
    assert word.startswith("failed with ")
    assert ended < 2
