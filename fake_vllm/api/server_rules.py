"""The flags of a server that decide how it answers requests."""

from dataclasses import dataclass

from fake_vllm.api.reasoning import Parser
from fake_vllm.api.release import OLD, Release


@dataclass(frozen=True)
class Rules:
    """One server's rules.

    Attributes:
        served_model_name: the name of the model.
        max_model_len: the context length in tokens.
        tool_calls: whether --enable-auto-tool-choice was given with a --tool-call-parser.
        prompt_tokens_details: whether --enable-prompt-tokens-details was given.
        started: when the server started, in seconds since 1970.
        force_usage: whether --enable-force-include-usage was given.
        aliases: the model's other names.
        reasoning: the --reasoning-parser. None: there is none.
        release: the version of vLLM.
    """

    served_model_name: str
    max_model_len: int = 32_768
    tool_calls: bool = False
    prompt_tokens_details: bool = False
    started: int = 0
    force_usage: bool = False
    aliases: tuple[str, ...] = ()
    reasoning: Parser | None = None
    release: Release = OLD

    @property
    def names(self) -> tuple[str, ...]:
        """Return all names of the model."""
        return (self.served_model_name, *self.aliases)
