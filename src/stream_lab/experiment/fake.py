"""The bundled fake as the laboratory starts it: endless, at the pace of the incident."""

from fake_vllm.testing import FakeVllm, FakeVllmError
from stream_lab.errors import LabError


class FakeError(LabError, FakeVllmError):
    """Raised when the bundled fake does not start; the text has its own words."""


class Fake(FakeVllm):
    """A running `fake-vllm`. `base_url` ends in /v1. Stops with `close()`, at the end of a `with` block, or with this process."""

    def __init__(
        self,
        scenario: str = "endless",
        *,
        gap: float = 0.085,
        model: str = "fake-model",
        **flags: object,
    ) -> None:
        """Start it, able to call tools, and wait until it listens.

        `gap`: seconds between two tokens, and before the first. `flags`: further options.

        Raises:
            FakeError: it does not start.
        """
        usual: dict[str, object] = {
            "first_token_ms": gap * 1000,
            "enable_auto_tool_choice": True,
            "tool_call_parser": "hermes",
        }
        try:
            super().__init__(scenario, gap=gap, model=model, **{**usual, **flags})
        except FakeVllmError as error:
            raise FakeError(str(error)) from None
