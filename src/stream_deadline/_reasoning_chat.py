"""`ChatOpenAI` with reasoning in its messages, and with fast chunks."""

from typing import Any

import openai
from langchain_core.messages import AIMessageChunk, BaseMessage
from langchain_core.outputs import ChatGenerationChunk, ChatResult
from langchain_openai import ChatOpenAI

from stream_deadline._connection import current_tracker
from stream_deadline._message import REASONING, reasoning_of
from stream_deadline._text_chunks import Pattern, text_of


class ReasoningChatOpenAI(ChatOpenAI):
    """`ChatOpenAI` that keeps a model's reasoning, and copies chunks of plain text.

    LangChain drops the reasoning, and makes each chunk anew.
    """

    def _convert_chunk_to_generation_chunk(
        self,
        chunk: dict[str, Any],
        default_chunk_class: type,
        base_generation_info: dict[str, Any] | None,
    ) -> ChatGenerationChunk | None:
        tracker = (
            current_tracker()
            if default_chunk_class is AIMessageChunk and not base_generation_info
            else None
        )
        if tracker is not None and tracker.raw and (text := text_of(chunk)) is not None:
            if tracker.pattern:
                return tracker.pattern.copy(text)
            generation = super()._convert_chunk_to_generation_chunk(
                chunk, default_chunk_class, base_generation_info
            )
            if generation is not None and tracker.pattern is None:
                tracker.pattern = Pattern(generation, text)
            return generation
        generation = super()._convert_chunk_to_generation_chunk(
            chunk, default_chunk_class, base_generation_info
        )
        choices = chunk.get("choices") or (chunk.get("chunk") or {}).get("choices")
        if choices and (generation is None or len(choices) > 1):
            # LangChain drops a chunk without a delta, and every choice but the first, though they
            # may have the finish reason.
            ends = any(choice.get("finish_reason") for choice in choices)
            if ends and (tracker := current_tracker()) is not None:
                tracker.on_finish()
        delta = choices[0].get("delta") if choices else None
        if delta and generation is not None and (len(delta) > 1 or "content" not in delta):
            self._keep_reasoning(delta, generation.message)
        return generation

    def _keep_reasoning(self, delta: dict[str, Any], message: BaseMessage) -> None:
        """Hand on the reasoning that LangChain drops; note any other dropped text as progress."""
        if (reasoning := reasoning_of(delta)) is not None:
            message.additional_kwargs[REASONING] = reasoning
            return
        silent = message.content or not any(
            value for name, value in delta.items() if name not in ("role", "content", "tool_calls")
        )
        if not silent and (tracker := current_tracker()) is not None:
            tracker.on_progress()

    def _create_chat_result(self, response: Any, *args: Any, **kwargs: Any) -> ChatResult:
        result = super()._create_chat_result(response, *args, **kwargs)
        choices = response["choices"] if isinstance(response, dict) else response.choices
        for generation, choice in zip(result.generations, choices, strict=False):
            # What the SDK's objects have no field for is in their `model_extra`.
            message = choice["message"] if isinstance(choice, dict) else choice.message.model_extra
            if (reasoning := reasoning_of(message or {})) is not None:
                generation.message.additional_kwargs[REASONING] = reasoning
        return result

    def _get_generation_chunk_from_completion(
        self, completion: openai.BaseModel
    ) -> ChatGenerationChunk:
        chunk = super()._get_generation_chunk_from_completion(completion)
        chunk.message.additional_kwargs.pop(REASONING, None)  # the chunks before it have it
        return chunk
