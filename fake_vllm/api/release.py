"""The versions of vLLM that the fake can be, and where their answers differ.

Transcripts of both are in tests/fake_vllm: golden (0.32) and golden_0_33.
"""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class Release:
    """One version of vLLM.

    Attributes:
        version: the number.
        build: the end of the fingerprint in answers.
        more_keys: whether answers have keys for versions of weights, for transfers and for prompt
            caches, which are null here.
        reads_prompt: whether a whole answer begins outside of a thought if the prompt has ended it.
        marks_cuts: whether a response that its length cuts ends with `response.incomplete`, and its
            last item is "incomplete".
        anthropic_errors: whether errors of /v1/messages have Anthropic's types.
        hides_deaths: whether an answer keeps the engine's words to itself when the engine dies.
    """

    version: str
    build: str
    more_keys: bool = False
    reads_prompt: bool = False
    marks_cuts: bool = False
    anthropic_errors: bool = False
    hides_deaths: bool = False

    @property
    def death(self) -> str:
        """Return the error of a request during which the engine dies."""
        if self.hides_deaths:
            return "The server had an error while processing your request."
        return "EngineCore encountered an issue. See stack trace (above) for the root cause."

    @property
    def fingerprint(self) -> str:
        """Return the `system_fingerprint` of answers."""
        return f"vllm-{self.version}-{self.build}"


OLD: Final = Release("0.32.0", "900574a6")
NEW: Final = Release(
    "0.33.0",
    "42d20346",
    more_keys=True,
    reads_prompt=True,
    marks_cuts=True,
    anthropic_errors=True,
    hides_deaths=True,
)
RELEASES: Final = {release.version: release for release in (OLD, NEW)}
