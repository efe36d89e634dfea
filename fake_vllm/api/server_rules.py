"""What of the server's flags decides how requests are answered."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Rules:
    """One server's rules.

    `max_model_len`: context length in tokens. `tool_calls`: --enable-auto-tool-choice was given with a --tool-call-parser.
    `prompt_tokens_details`: --enable-prompt-tokens-details. `started`: when the server started, in seconds since 1970.
    """

    served_model_name: str
    max_model_len: int = 32_768
    tool_calls: bool = False
    prompt_tokens_details: bool = False
    started: int = 0
