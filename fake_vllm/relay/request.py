"""A request as it is passed on to another server."""

import json
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final
from urllib.parse import parse_qsl, quote

from fake_vllm.api import Refused
from fake_vllm.api.body import check_content_type
from fake_vllm.behaviour import SCENARIO_FIELD, SCENARIO_HEADER
from fake_vllm.http.exchange import Exchange
from fake_vllm.redaction import address_without_secrets, pieces_without, without

NOT_PASSED_ON: Final = frozenset(
    (
        *("connection", "keep-alive", "transfer-encoding", "te", "trailer", "upgrade"),
        *("proxy-authorization", "proxy-connection", "proxy-authenticate", "content-length"),
    )
)
"""Headers that belong to one connection (RFC 9110, section 7.6.1), and the framing."""
OWN: Final = frozenset(("host", "expect", "accept-encoding", SCENARIO_HEADER))
"""Headers that are written anew. An upstream that compressed its events could not be read."""


@dataclass(frozen=True)
class RelayedRequest:
    """A request, and what rules look at in it.

    Attributes:
        method: the HTTP method.
        target: the path, quoted, with its query.
        headers: the headers to pass on.
        body: the body without the field `fake_scenario`.
        value: the body as JSON. None: it is not JSON.
        scenario: the field `fake_scenario`.
        secrets: the client's keys, which no recording has, those that are not passed on included.
    """

    method: str
    target: str = field(repr=False)
    headers: dict[str, str] = field(repr=False)
    body: bytes
    value: Any
    scenario: str | None
    secrets: list[str] = field(repr=False)

    @classmethod
    def read(cls, exchange: Exchange) -> "RelayedRequest":
        """Return a client's request; any body is accepted.

        Raises:
            Refused: its scenario is not a text, or the body that names it is not sent as JSON.
        """
        body, scenario = exchange.body, None
        value = _json(body)
        if isinstance(value, dict) and SCENARIO_FIELD in value:
            # A page of any site may post text without asking first, but not JSON.
            check_content_type(exchange.headers.get("content-type", ""))
            scenario = value.pop(SCENARIO_FIELD)
            if not isinstance(scenario, str | None):
                raise Refused(
                    400, "BadRequestError", f"{SCENARIO_FIELD} is not a text", SCENARIO_FIELD
                )
            # In ASCII, since a text may have half a surrogate pair, which UTF-8 does not have.
            body = json.dumps(value, separators=(",", ":")).encode()
        headers = {
            name: text
            for name, text in exchange.headers.items()
            if name not in NOT_PASSED_ON and name not in OWN
        }
        query = f"?{exchange.query_string}" if exchange.query_string else ""
        target = quote(exchange.path, safe="/:@!$&'()*+,;=~-._") + query
        return cls(exchange.method, target, headers, body, value, scenario, exchange.secrets())

    @property
    def query(self) -> dict[str, str]:
        """Return the query, by name."""
        return dict(parse_qsl(self.target.partition("?")[2]))

    @cached_property
    def shown_target(self) -> str:
        """Return the target without the client's keys."""
        return without(address_without_secrets(self.target), self.secrets)

    @cached_property
    def shown_body(self) -> bytes:
        """Return the body without the client's keys."""
        return b"".join(pieces_without([self.body], self.secrets))

    @cached_property
    def shown_value(self) -> Any:
        """Return the body without the client's keys as JSON. None: it is not JSON."""
        return self.value if self.shown_body == self.body else _json(self.shown_body)

    @property
    def stream(self) -> bool:
        """Tell whether the client asks for a stream."""
        return self._field("stream") is True

    @property
    def model(self) -> str:
        model = self._field("model")
        return model if isinstance(model, str) else ""

    @property
    def question(self) -> str:
        """Return the last message of the user, or the prompt."""
        asked = [message for message in self._messages if message.get("role") == "user"]
        given = asked[-1].get("content") if asked else self._field("prompt") or self._field("input")
        return _text(given)

    @property
    def turn(self) -> int:
        """Return the number of user messages in the conversation, at least 1."""
        return max(1, len([each for each in self._messages if each.get("role") == "user"]))

    @property
    def tool_result(self) -> str | None:
        """Return the last message if it is a tool's result. None: it is not."""
        last = self._messages[-1] if self._messages else {}
        return _text(last.get("content")) if last.get("role") == "tool" else None

    @property
    def most_tokens(self) -> int:
        """Return about the most tokens that it costs: 4 bytes of the body are one."""
        limits = (self._field(name) for name in ("max_tokens", "max_completion_tokens"))
        limit: int = next((each for each in limits if isinstance(each, int)), 0)
        return len(self.body) // 4 + limit

    @property
    def _messages(self) -> list[dict[str, Any]]:
        given = self._field("messages") or self._field("input")
        return [each for each in given if isinstance(each, dict)] if isinstance(given, list) else []

    def _field(self, name: str) -> Any:
        return self.value.get(name) if isinstance(self.value, dict) else None


def _json(body: bytes) -> Any:
    """Return a body as JSON. None: it is not JSON."""
    try:
        return json.loads(body) if body else None
    except (ValueError, RecursionError):
        return None


def _text(content: Any) -> str:
    """Return the text of a message, whose content may be a list of parts."""
    if isinstance(content, list):
        return "".join(_text(part) for part in content)
    if isinstance(content, dict):
        return _text(content.get("text"))
    return content if isinstance(content, str) else ""
