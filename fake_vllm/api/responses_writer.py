"""The answer of `/v1/responses`, streamed or whole."""

import time
from collections.abc import Iterator
from typing import Any

from fake_vllm.api import hermes, wire
from fake_vllm.api.answer_reader import StreamReader, read_whole
from fake_vllm.api.logprobs import of_chat
from fake_vllm.api.reasoning import counted
from fake_vllm.api.response_output import (
    Event,
    Item,
    MessageItem,
    ReasoningItem,
    call_item,
    names_of,
)
from fake_vllm.api.responses_request import AcceptedResponsesRequest
from fake_vllm.api.stream_writer import collects
from fake_vllm.api.writer import CollectedChoice
from fake_vllm.model.plan import GenerationPlan
from fake_vllm.model.text_piece import Piece


class ResponsesWriter:
    """The writer of one response.

    Its stream has an event of two lines for each step of each item, and no `[DONE]`.
    """

    def __init__(self, request: AcceptedResponsesRequest, plan: GenerationPlan) -> None:
        self._request, self._body = request, request.body
        self._created = int(time.time())
        self.sequences = request.sequences(plan)
        self._collected = CollectedChoice()
        self._tokens = 0
        self._number = 0
        self._items: list[dict[str, Any]] = []
        self._open: Item | None = None
        self._reading = request.reading(plan)
        self._reader = StreamReader(self._reading)
        self._names = names_of(request.body.tools)
        self._keeps = collects(plan, plain=request.sampling.plain)
        shown = request.parameters.logprobs is not None
        hidden = self._reading.parser is not None and self._reading.hidden
        self._logprobs = shown and not hidden

    def begin(self) -> list[bytes]:
        response = self._response("in_progress", [], None)
        return [
            self._written(Event("created", {"response": response})),
            self._written(Event("in_progress", {"response": response})),
        ]

    def event(self, index: int, piece: Piece) -> bytes:
        self._tokens += len(piece.ids)
        if self._body.enable_response_messages and self._keeps:
            self._collected.add(piece)
        elif piece.finish is not None:
            self._collected.last = piece
        delta = self._reader.delta(piece.text, piece.ids)
        return b"".join(self._deltas(delta, piece.ids)) if delta else b""

    def frame(self, index: int) -> None:
        return None  # events are numbered, so no two are equal

    def count(self, index: int, tokens: int) -> None:
        self._tokens += tokens

    def before_error(self) -> list[bytes]:
        return []

    def text_event(self, text: str) -> bytes:
        opened = [] if self._open else self._opened(MessageItem(self._logprobs_of, self._place))
        return b"".join([*opened, *self._added(text, ())])

    def _deltas(self, delta: dict[str, Any], ids: tuple[int, ...]) -> Iterator[bytes]:
        if delta.get("reasoning"):
            if not isinstance(self._open, ReasoningItem):
                yield from self._opened(ReasoningItem(self._place, keeps=self._keeps))
            yield from self._added(delta["reasoning"], ())
        if delta.get("content"):
            if not isinstance(self._open, MessageItem):
                yield from self._opened(
                    MessageItem(self._logprobs_of, self._place, keeps=self._keeps)
                )
            yield from self._added(delta["content"], ids)
        for call in delta.get("tool_calls", ()):
            if "id" in call:
                name, id = call["function"]["name"], call["id"]
                place, keeps = self._place, self._keeps
                yield from self._opened(call_item(self._names, name, id, place, keeps=keeps))
            else:
                yield from self._added(call["function"]["arguments"], ())

    @property
    def _place(self) -> int:
        return len(self._items) + (self._open is not None)

    def _opened(self, item: Item) -> list[bytes]:
        """End the open item, and begin another."""
        closed = self._closed()
        self._open = item
        return [*closed, *map(self._written, item.begin())]

    def _added(self, text: str, ids: tuple[int, ...]) -> list[bytes]:
        if self._open is None:
            return []
        return list(map(self._written, self._open.delta(text, list(ids))))

    def _closed(self, status: str = "completed") -> list[bytes]:
        """End the open item."""
        item, self._open = self._open, None
        if item is None:
            return []
        self._items.append(item.as_json(status))
        return list(map(self._written, item.end(status)))

    def end(self) -> list[bytes]:
        status = self._status
        marks = status == "incomplete" and self._request.rules.release.marks_cuts
        closed = self._closed("incomplete" if marks else "completed")
        response = self._response(status, self._items, self._tokens)
        kind = "incomplete" if marks else "completed"
        return [*closed, self._written(Event(kind, {"response": response}))]

    @property
    def _status(self) -> str:
        return "incomplete" if self._collected.last.finish == "length" else "completed"

    def _written(self, event: Event) -> bytes:
        numbered = {
            **event.body,
            "sequence_number": self._number,
            **({} if event.text is None else {"text": event.text}),
            "type": f"response.{event.kind}",
            **event.tail,
        }
        self._number += 1
        return f"event: response.{event.kind}\ndata: ".encode() + wire.dumps(numbered) + b"\n\n"

    def collect(self, index: int, piece: Piece) -> None:
        if self._keeps:
            self._collected.add(piece)

    def answer(self) -> dict[str, Any]:
        thought, content, calls = read_whole(self._collected.text, self._reading)
        items: list[Item] = []
        if thought:
            items.append(ReasoningItem())
            items[-1].add(thought)
        # With a parser, an answer without text has no message.
        has_parser = self._request.rules.tool_calls or self._reading.parser is not None
        if (content and (content.strip() or not calls)) or not has_parser:
            message = MessageItem(self._logprobs_of)
            message.add(content or "")
            message.logprobs += self._logprobs_of(self._collected.ids)
            items.append(message)
        for call in calls:
            item = call_item(self._names, call.name, hermes.call_id())
            item.delta(call.arguments, [])
            items.append(item)
        status = self._status if self._request.rules.release.marks_cuts else "completed"
        output = [
            item.as_json(
                None
                if isinstance(item, ReasoningItem)
                else status
                if item is items[-1]
                else "completed"
            )
            for item in items
        ]
        return self._response(self._status, output, len(self._collected.ids))

    def _logprobs_of(self, ids: list[int]) -> list[dict[str, Any]]:
        if not self._logprobs:
            return []
        chosen = of_chat(ids, self._body.top_logprobs, (), as_ids=False)["content"]
        order = ("token", "bytes", "logprob")
        return [
            {
                **{key: one[key] for key in order},
                "top_logprobs": [
                    {key: other[key] for key in order} for other in one["top_logprobs"]
                ],
            }
            for one in chosen
        ]

    def _response(
        self, status: str, output: list[dict[str, Any]], tokens: int | None
    ) -> dict[str, Any]:
        """Return the response so far; `tokens` are for its usage. None: no usage yet."""
        body, made, rules = self._body, self._request.parameters, self._request.rules
        temperature = (
            1.0
            if body.temperature is None
            else max(body.temperature, 0.01)
            if body.temperature > 0
            else body.temperature
        )
        greedy = temperature < 0.00001
        more = rules.release.more_keys
        cache = {"prompt_cache_key": body.prompt_cache_key, "prompt_cache_retention": None}
        return {
            "id": self._request.id,
            "created_at": self._created,
            "incomplete_details": {"reason": "max_output_tokens"}
            if status == "incomplete"
            else None,
            "instructions": body.instructions,
            "metadata": body.metadata,
            "model": rules.served_model_name,
            "object": "response",
            "output": output,
            "parallel_tool_calls": body.parallel_tool_calls is not False,
            "temperature": temperature,
            "tool_choice": body.tool_choice
            if isinstance(body.tool_choice, str)
            else body.tool_choice.model_dump(by_alias=True),
            "tools": [tool.model_dump(by_alias=True) for tool in body.tools],
            "top_p": 1.0 if body.top_p is None or greedy else body.top_p,
            "background": bool(body.background),
            "max_output_tokens": made.max_tokens,
            "max_tool_calls": body.max_tool_calls,
            "previous_response_id": None,
            "prompt": None,
            **({"prompt_cache_options": None, **cache} if more else {}),
            "reasoning": body.reasoning.model_dump() if body.reasoning else None,
            **({"safety_identifier": None} if more else {}),
            "service_tier": body.service_tier,
            "status": status,
            "text": body.text.model_dump(by_alias=True) if body.text else None,
            "top_logprobs": made.logprobs,
            "truncation": body.truncation,
            "usage": None if tokens is None else self._usage(tokens),
            "user": body.user,
            "presence_penalty": body.presence_penalty or 0.0,
            "frequency_penalty": body.frequency_penalty or 0.0,
            "kv_transfer_params": None,
            "ec_transfer_params": None,
            **self._raw_messages(shown=tokens is not None and body.enable_response_messages),
        }

    def _raw_messages(self, *, shown: bool) -> dict[str, Any]:
        """Return the model's input and output token by token, if they are to be shown."""
        if not shown:
            return {"input_messages": None, "output_messages": None}
        prompt, answer = self._request.prompts[0], self._collected
        kind = {"type": "raw_message_tokens"}
        return {
            "input_messages": [{"message": prompt.text, "tokens": prompt.ids, **kind}],
            "output_messages": [{"message": answer.text, "tokens": answer.ids, **kind}],
        }

    def _usage(self, tokens: int) -> dict[str, Any]:
        prompt = self._request.prompt_tokens
        turns: dict[str, Any] = {"input_tokens_per_turn": [], "cached_tokens_per_turn": []}
        parser = self._reading.parser
        thought = (
            0
            if parser is None
            else self._reader.reasoning_tokens
            if self._request.stream
            else counted(self._collected.ids, parser)
        )
        made: dict[str, Any] = {"reasoning_tokens": thought, "tool_output_tokens": 0}
        return {
            "input_tokens": prompt,
            "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0, **turns},
            "output_tokens": tokens,
            "output_tokens_details": {
                **made,
                "output_tokens_per_turn": [],
                "tool_output_tokens_per_turn": [],
            },
            "total_tokens": prompt + tokens,
        }
