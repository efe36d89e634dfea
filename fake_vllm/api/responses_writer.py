"""The answer of `/v1/responses`, streamed or whole."""

import time
from typing import Any

from fake_vllm.api import hermes, wire
from fake_vllm.api.logprobs import of_chat
from fake_vllm.api.responses_request import AcceptedResponsesRequest
from fake_vllm.api.stream_writer import collects
from fake_vllm.api.wire import hex16
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
        self._open: _Item | None = None
        self._parses = request.choice != "none"
        self._reader = hermes.Reader()
        self._keeps = collects(plan, plain=request.sampling.plain)
        self._logprobs = request.parameters.logprobs is not None

    def begin(self) -> list[bytes]:
        response = self._response("in_progress", [], None)
        return [
            self._event("response.created", {"response": response}),
            self._event("response.in_progress", {"response": response}),
        ]

    def event(self, index: int, piece: Piece) -> bytes:
        self._tokens += len(piece.ids)
        if self._body.enable_response_messages and self._keeps:
            self._collected.add(piece)
        elif piece.finish is not None:
            self._collected.last = piece
        return self._deltas(
            self._reader.delta(piece.text) if self._parses else {"content": piece.text}, piece.ids
        )

    def frame(self, index: int) -> None:
        return None  # events are numbered, so no two are equal

    def count(self, index: int, tokens: int) -> None:
        self._tokens += tokens

    def text_event(self, text: str) -> bytes:
        opened = self._shown("message", hex16()) if self._open is None else []
        return b"".join([*opened, *self._delta(text, ())])

    def _deltas(self, delta: dict[str, Any] | None, ids: tuple[int, ...]) -> bytes:
        events: list[bytes] = []
        if delta and delta.get("content"):
            events += self._shown("message", "")
            events += self._delta(delta["content"], ids)
        for call in (delta or {}).get("tool_calls", ()):
            if "id" in call:
                events += self._shown("function_call", call["function"]["name"], call["id"])
            else:
                events += self._delta(call["function"]["arguments"], ())
        return b"".join(events)

    def _shown(self, kind: str, name: str, call_id: str = "") -> list[bytes]:
        """Begin an item, unless it is a message and one is open."""
        if self._open is not None and self._open.kind == kind == "message":
            return []
        closed = self._closed()
        self._open = item = _Item(kind, name, call_id, len(self._items))
        added = [
            self._event(
                "response.output_item.added",
                {"item": item.as_json("in_progress"), "output_index": item.index},
            )
        ]
        if kind == "message":
            part = {"annotations": [], "text": "", "type": "output_text", "logprobs": []}
            added.append(
                self._event("response.content_part.added", {**item.place(), "part": part}, item)
            )
        return [*closed, *added]

    def _delta(self, text: str, ids: tuple[int, ...]) -> list[bytes]:
        item = self._open
        if item is None:
            return []
        logprobs = self._logprobs_of(list(ids)) if self._logprobs else []
        if self._keeps:
            item.texts.append(text)
            item.logprobs += logprobs
        if item.kind == "function_call":
            body = {"delta": text, "item_id": item.id, "output_index": item.index}
            return [self._event("response.function_call_arguments.delta", body)]
        brief = [
            {
                "token": one["token"],
                "logprob": one["logprob"],
                "top_logprobs": [
                    {"token": other["token"], "logprob": other["logprob"]}
                    for other in one["top_logprobs"]
                ],
            }
            for one in logprobs
        ]
        body = {
            "content_index": 0,
            "delta": text,
            "item_id": item.id,
            "logprobs": brief,
            "output_index": item.index,
        }
        return [self._event("response.output_text.delta", body)]

    def _closed(self) -> list[bytes]:
        """End the open item."""
        item, self._open = self._open, None
        if item is None:
            return []
        events = []
        if item.kind == "function_call":
            body = {"arguments": item.text, "item_id": item.id, "output_index": item.index}
            events.append(
                self._event("response.function_call_arguments.done", body, tail={"name": item.name})
            )
        else:
            place = {
                "content_index": 0,
                "item_id": item.id,
                "logprobs": [],
                "output_index": item.index,
            }
            events.append(self._event("response.output_text.done", place, tail={}, text=item.text))
            events.append(
                self._event("response.content_part.done", {**item.place(), "part": item.part()})
            )
        done = item.as_json("completed")
        self._items.append(done)
        events.append(
            self._event("response.output_item.done", {"item": done, "output_index": item.index})
        )
        return events

    def end(self) -> list[bytes]:
        closed = self._closed()
        response = self._response(self._status, self._items, self._tokens)
        return [*closed, self._event("response.completed", {"response": response})]

    @property
    def _status(self) -> str:
        return "incomplete" if self._collected.last.finish == "length" else "completed"

    def _event(
        self,
        kind: str,
        body: dict[str, Any],
        item: Any = None,
        *,
        tail: dict[str, Any] | None = None,
        text: str | None = None,
    ) -> bytes:
        numbered = {
            **body,
            "sequence_number": self._number,
            **({} if text is None else {"text": text}),
            "type": kind,
            **(tail or {}),
        }
        self._number += 1
        return f"event: {kind}\ndata: ".encode() + wire.dumps(numbered) + b"\n\n"

    def collect(self, index: int, piece: Piece) -> None:
        if self._keeps:
            self._collected.add(piece)

    def answer(self) -> dict[str, Any]:
        content, calls = (
            hermes.parse(self._collected.text) if self._parses else (self._collected.text, [])
        )
        if self._body.parallel_tool_calls is False:
            calls = calls[:1]
        output = []
        # With a parser, an answer without text has no message.
        if content or not self._request.rules.tool_calls:
            message = _Item("message", "", "", 0)
            message.texts.append(content or "")
            message.logprobs += self._logprobs_of(self._collected.ids) if self._logprobs else []
            output.append(message.as_json("completed"))
        for call in calls:
            item = _Item("function_call", call.name, hermes.call_id(), 0)
            item.texts.append(call.arguments)
            output.append(item.as_json("completed"))
        return self._response(self._status, output, len(self._collected.ids))

    def _logprobs_of(self, ids: list[int]) -> list[dict[str, Any]]:
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
            "reasoning": body.reasoning.model_dump() if body.reasoning else None,
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
        made: dict[str, Any] = {"reasoning_tokens": 0, "tool_output_tokens": 0}
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


class _Item:
    """One item of the output: a message, or a tool call."""

    def __init__(self, kind: str, name: str, call_id: str, index: int) -> None:
        self.kind, self.name, self.call_id, self.index = kind, name, call_id, index
        self.id = f"{'msg' if kind == 'message' else 'fc'}_{hex16()}"
        self.texts: list[str] = []
        self.logprobs: list[dict[str, Any]] = []

    @property
    def text(self) -> str:
        return "".join(self.texts)

    def place(self) -> dict[str, Any]:
        return {"content_index": 0, "item_id": self.id, "output_index": self.index}

    def part(self) -> dict[str, Any]:
        return {
            "annotations": [],
            "text": self.text,
            "type": "output_text",
            "logprobs": self.logprobs or None,
        }

    def as_json(self, status: str) -> dict[str, Any]:
        if self.kind == "message":
            content = [self.part()] if self.text else []
            return {
                "id": self.id,
                "content": content,
                "role": "assistant",
                "status": status,
                "type": "message",
                "phase": None,
            }
        call = {
            "arguments": self.text,
            "call_id": self.call_id,
            "name": self.name,
            "type": "function_call",
            "id": self.id,
        }
        return {**call, "async": None, "caller": None, "namespace": None, "status": status}
