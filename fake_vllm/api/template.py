"""The chat template: from a conversation to the text that the model reads."""

from collections.abc import Mapping, Sequence
from typing import Any

from fake_vllm.api.body import Rejected
from fake_vllm.api.conversation import Turn

_BOTH = (
    "continue_final_message and add_generation_prompt are not compatible. Use "
    "continue_final_message when you want the model to "
    "continue the final message, and add_generation_prompt when you want to add a header that will "
    "prompt it to start a new "
    "assistant message instead."
)


def render(
    turns: Sequence[Turn],
    *,
    add_generation_prompt: bool = True,
    continue_final_message: bool = False,
    options: Mapping[str, Any] | None = None,
) -> str:
    """Return the prompt's text, as Qwen's template writes it.

    Args:
        turns: the conversation.
        add_generation_prompt: whether to begin the assistant's answer.
        continue_final_message: whether the answer continues the last message.
        options: the request's `chat_template_kwargs`; `enable_thinking: false` writes an empty
            thought. None: there are none.

    Raises:
        Rejected: the conversation is empty, or the last message cannot be continued.
    """
    if not turns:
        raise Rejected(
            "Cannot apply chat template to an empty conversation. Provide at least one message."
        )
    if continue_final_message and add_generation_prompt:
        raise Rejected(_BOTH)
    text = "".join(f"<|im_start|>{turn['role']}\n{turn['text']}<|im_end|>\n" for turn in turns)
    if continue_final_message:
        return text.removesuffix("<|im_end|>\n")
    if not add_generation_prompt:
        return text
    thought = "<think>\n\n</think>\n\n" if (options or {}).get("enable_thinking") is False else ""
    return f"{text}<|im_start|>assistant\n{thought}"
