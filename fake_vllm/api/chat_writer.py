"""The answer of `/v1/chat/completions`, streamed or whole."""

from typing import Any

from fake_vllm.api import hermes, logprobs, wire
from fake_vllm.api.answer_reader import StreamReader, read_whole
from fake_vllm.api.chat_request import AcceptedChatRequest
from fake_vllm.api.reasoning import counted
from fake_vllm.api.stream_writer import StreamWriter, collects, head
from fake_vllm.api.writer import CollectedChoice
from fake_vllm.model.plan import GenerationPlan
from fake_vllm.model.text_piece import Piece

_BLANK = {"refusal": None, "annotations": None, "audio": None, "function_call": None}


class ChatWriter(StreamWriter):
    """The writer of one chat's answer."""

    def __init__(self, request: AcceptedChatRequest, plan: GenerationPlan) -> None:
        body = request.body
        self._request, self._body = request, body
        reads_calls = request.rules.tool_calls
        self._active = reads_calls and request.choice != "none"  # the parser looks for calls
        self._named = request.choice not in ("none", "auto", "required", None)
        reading = request.reading(plan)
        hidden = reading.parser is not None and reading.hidden
        self._prompt_ids = bool(body.return_token_ids)
        self._ids = self._prompt_ids and not hidden
        self._logprobs = bool(body.logprobs) and not hidden
        self._reads = reads_calls or reading.parser is not None
        name = "chat.completion.chunk" if request.stream else "chat.completion"
        super().__init__(
            head(request.id, name, request.rules.served_model_name),
            request.n,
            [len(prompt.ids) for prompt in request.prompts],
            body,
            rules=request.rules,
            plain=not (self._ids or self._logprobs or self._active or reading.parser),
        )
        self.sequences = request.sequences(plan)
        self._reading = reading
        self._readers = [StreamReader(reading) for _ in range(request.n)]
        self._collected = [CollectedChoice() for _ in range(request.n)]
        self._collects = collects(plan, plain=request.sampling.plain)

    def begin(self) -> list[bytes]:
        body, prompt, indices = self._body, self._request.prompts[0], range(self._request.n)
        usage = {"usage": self._counts(0)} if self.continuous else {}
        tail = {
            "prompt_token_ids": prompt.ids if self._prompt_ids else None,
            "prompt_text": prompt.text if body.return_prompt_text else None,
        }
        events = []
        for index in indices:
            delta = {"role": self._request.role, "content": ""}
            choice = {"index": index, "delta": delta, "logprobs": None, "finish_reason": None}
            events.append(wire.event({**self.head, "choices": [choice], **usage, **tail}))
        if echoed := self._request.echoed:
            for index in indices:
                choice = {
                    "index": index,
                    "delta": {"content": echoed},
                    "logprobs": None,
                    "finish_reason": None,
                }
                events.append(wire.event({**self.head, "choices": [choice], **usage}))
        return events

    def text_event(self, text: str) -> bytes:
        return self._event(0, {"content": text}, Piece(text, ()))

    def written(self, index: int, piece: Piece) -> bytes:
        delta = self._delta(index, piece)
        if delta is None:
            if piece.finish is None and not self._ids and not self._logprobs:
                return b""
            delta = {} if piece.finish is None else self._readers[index].last_delta()
        return self._event(index, delta, piece)

    def _delta(self, index: int, piece: Piece) -> dict[str, Any] | None:
        if not self._reads:
            return {"content": piece.text}
        return self._readers[index].delta(piece.text, piece.ids)

    def _event(self, index: int, delta: dict[str, Any], piece: Piece) -> bytes:
        chosen = self._logprobs_of(piece.ids) if self._logprobs else None
        choice = {"index": index, "delta": delta, "logprobs": chosen, "finish_reason": None}
        if piece.finish is not None:
            choice["finish_reason"] = self.finish_reason(index, piece)
            choice["stop_reason"] = piece.stop
        choice["token_ids"] = list(piece.ids) if self._ids else None
        if piece.finish is not None:
            choice |= self.more_keys
        usage = self._counts(self.choice_tokens(index)) if self.continuous else None
        return self.wrapped(choice, usage, last=piece.finish is not None)

    def finish_reason(self, index: int, piece: Piece) -> str | None:
        """Return the `finish_reason` of a stream whose last piece this is."""
        called = self._readers[index].calls and not self._named
        return "tool_calls" if called and piece.finish == "stop" else piece.finish

    def _counts(self, tokens: int) -> dict[str, Any]:
        usage = wire.usage(self.prompt_tokens[0], tokens)
        thought = sum(reader.reasoning_tokens for reader in self._readers)
        return {**usage, "completion_tokens_details": self._details(thought)}

    def _details(self, thought: int) -> dict[str, Any] | None:
        """Return the details of the tokens; a server without a parser has none."""
        if self._reading.parser is None and self._request.rules.reasoning is None:
            return None
        return {"reasoning_tokens": thought}

    def completion_details(self, *, whole: bool) -> dict[str, Any] | None:
        if not whole:
            return self._details(sum(reader.reasoning_tokens for reader in self._readers))
        parser = self._reading.parser
        made = [choice.ids for choice in self._collected] if parser else []
        return self._details(sum(counted(ids, parser) for ids in made if parser))

    def _logprobs_of(self, ids: tuple[int, ...] | list[int]) -> dict[str, Any]:
        made = self._request.parameters
        as_ids = bool(self._body.return_tokens_as_token_ids)
        return logprobs.of_chat(ids, self._body.top_logprobs, made.logprob_token_ids, as_ids=as_ids)

    def prompt_details(self, *, whole: bool) -> dict[str, Any] | None:
        if not self._request.rules.prompt_tokens_details or self._body.use_beam_search:
            return None
        return {
            "cached_tokens": 0,
            "created_cache_tokens": 0,
            **({"multimodal_tokens": None} if whole else {}),
        }

    def collect(self, index: int, piece: Piece) -> None:
        if self._collects:
            self._collected[index].add(piece)

    def answer(self) -> dict[str, Any]:
        body, prompt, request = self._body, self._request.prompts[0], self._request
        return {
            **self.head,
            "choices": [
                self._choice(index, collected) for index, collected in enumerate(self._collected)
            ],
            "service_tier": None,
            "system_fingerprint": self.release.fingerprint,
            "usage": self.whole_usage(sum(len(collected.ids) for collected in self._collected)),
            "prompt_logprobs": logprobs.of_prompt(prompt.ids, request.parameters.prompt_logprobs),
            "prompt_token_ids": prompt.ids if self._prompt_ids else None,
            "prompt_text": prompt.text if body.return_prompt_text else None,
            "kv_transfer_params": None,
            "ec_transfer_params": None,
            "metrics": None,
        }

    def _choice(self, index: int, collected: CollectedChoice) -> dict[str, Any]:
        choice, finish = self._request.choice, collected.last.finish
        thought, content, calls = read_whole(collected.text, self._reading)
        # Without tools, which only Anthropic's form allows, it is so too.
        if self._body.tool_choice == "required" and finish == "stop":
            reason: str | None = "tool_calls"
        else:
            reason = "tool_calls" if calls and not self._named and choice != "required" else finish
        if self._named or choice == "required":
            content = content or ""
        if self._body.echo:
            content = self._request.echoed + (content or "")
        made = [
            {"id": hermes.call_id(), "type": "function", "function": call._asdict()}
            for call in calls
        ]
        message = {
            "role": self._request.role,
            "content": content,
            **_BLANK,
            **({"tool_calls": made} if made else {}),
            "reasoning": thought,
        }
        return {
            "index": index,
            "message": message,
            "logprobs": self._logprobs_of(collected.ids) if self._logprobs else None,
            "finish_reason": reason,
            "stop_reason": collected.last.stop,
            "token_ids": collected.ids if self._ids else None,
            "routed_experts": None,
            **self.more_keys,
        }
