"""A fake-vllm in its own process, for tests of LLM clients.

    with FakeVllm("stall:after=3") as fake:
        client = OpenAI(base_url=fake.base_url, api_key="-")
        ...
        assert fake.until_freed().tokens_after_left == 0

    fake.when(prompt="weather").answer(tool_calls=[{"name": "weather", "arguments": {}}])
    assert fake.requests[0].json["max_tokens"] == 100

In pytest, the fixture `fake_vllm` returns one that the session shares and each test resets.
"""

from fake_vllm.engine.ledger import Entry
from fake_vllm.testing._error import FakeVllmError
from fake_vllm.testing._requests import Request
from fake_vllm.testing._server import FakeVllm
from fake_vllm.testing._when import When

__all__ = ["Entry", "FakeVllm", "FakeVllmError", "Request", "When"]
