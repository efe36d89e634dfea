"""The bundled fake as the laboratory starts it: endless, at the pace of the incident."""

from typing import Any

from fake_vllm.testing import FakeVllm, FakeVllmError
from stream_lab.errors import LabError


class FakeError(LabError, FakeVllmError):
    """Raised when the bundled fake does not start; the text is the fake's own."""


class Fake(FakeVllm):
    """A running `fake-vllm` with a `base_url` that ends in /v1.

    It stops with `close()`, at the end of a `with` block, or with this process.
    """

    def __init__(
        self,
        scenario: str = "endless",
        *,
        gap: float = 0.085,
        model: str = "fake-model",
        **flags: Any,
    ) -> None:
        """Start a fake that can call tools, and wait until it listens.

        Args:
            scenario: the scenario, as `--scenario` takes it.
            gap: seconds between two tokens, and before the first.
            model: the model's name.
            flags: further options of the fake.

        Raises:
            FakeError: the fake does not start.
        """
        usual: dict[str, Any] = {
            "first_token_ms": gap * 1000,
            "enable_auto_tool_choice": True,
            "tool_call_parser": "hermes",
        }
        try:
            super().__init__(scenario, gap=gap, model=model, **{**usual, **flags})
        except FakeVllmError as error:
            raise FakeError(str(error)) from None
