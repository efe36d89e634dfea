"""Tools: the calls, their arguments, and their form on the wire, with the hermes parser."""

import json
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest

from stream_lab.experiment.fake import Fake
from tests.conftest import ledger
from tests.fake_vllm.test_wire import OPTIONS


def tool(name: str, **properties: Any) -> dict[str, Any]:
    parameters = {"type": "object", "properties": properties, "required": list(properties)}
    return {"type": "function", "function": {"name": name, "parameters": parameters}}


WEATHER = tool("get_weather", city={"type": "string"})
ADD = tool("add", a={"type": "integer"}, b={"type": "integer"})
PING = {"type": "function", "function": {"name": "ping"}}


@pytest.fixture(scope="module")
def server() -> Iterator[Fake]:
    with Fake("finite", gap=0, model="tiny", **OPTIONS) as fake:
        yield fake


def ask(client: httpx2.Client, fake: Fake, text: str, **more: Any) -> dict[str, Any]:
    """The one choice of a whole answer."""
    body = {"messages": [{"role": "user", "content": text}], **more}
    answer = client.post(f"{fake.base_url}/chat/completions", json=body)
    answer.raise_for_status()
    choice: dict[str, Any] = answer.json()["choices"][0]
    return choice


def deltas(
    client: httpx2.Client, fake: Fake, text: str, *, most: int = 400, **more: Any
) -> list[dict[str, Any]]:
    """The choices of a stream's events, without the role event; at most so many."""
    got: list[dict[str, Any]] = []
    body = {"messages": [{"role": "user", "content": text}], "stream": True, **more}
    with client.stream("POST", f"{fake.base_url}/chat/completions", json=body) as answer:
        for line in answer.iter_lines():
            if line.startswith("data: {"):
                got.extend(json.loads(line.removeprefix("data: "))["choices"])
            if len(got) > most:
                break
    return got[1:]


def gathered(choices: list[dict[str, Any]]) -> list[tuple[str, str]]:
    """Name and arguments of each call in a stream, put together as a client does."""
    calls: list[tuple[str, str]] = []
    for choice in choices:
        for part in choice["delta"].get("tool_calls", []):
            if "id" in part:
                calls.append((part["function"]["name"], ""))
            else:
                name, arguments = calls[part["index"]]
                calls[part["index"]] = name, arguments + part["function"]["arguments"]
    return calls


def called(choice: dict[str, Any]) -> list[tuple[str, Any]]:
    calls = choice["message"].get("tool_calls", [])
    return [(call["function"]["name"], json.loads(call["function"]["arguments"])) for call in calls]


class TestOnTheWire:
    def test_a_stream_has_the_same_calls_as_a_whole_answer(
        self, server: Fake, http: httpx2.Client
    ) -> None:
        text = "add 2 and 40"
        stream = gathered(deltas(http, server, text, tools=[ADD]))
        assert [(name, json.loads(arguments)) for name, arguments in stream] == called(
            ask(http, server, text, tools=[ADD])
        )

    @pytest.mark.parametrize(
        ("choice", "reason", "content"),
        [
            ("auto", "tool_calls", None),
            ("required", "tool_calls", ""),
            ({"type": "function", "function": {"name": "add"}}, "stop", ""),
        ],
    )
    def test_the_choice_decides_the_finish_reason_and_the_empty_content(
        self, choice: Any, reason: str, content: str | None, server: Fake, http: httpx2.Client
    ) -> None:
        whole = ask(http, server, "add 1 and 2", tools=[ADD], tool_choice=choice)
        assert (whole["finish_reason"], whole["message"]["content"]) == (reason, content)
        assert (
            deltas(http, server, "add 1 and 2", tools=[ADD], tool_choice=choice)[-1][
                "finish_reason"
            ]
            == reason
        )

    def test_several_calls_have_ids_and_indices_of_their_own(
        self, server: Fake, http: httpx2.Client
    ) -> None:
        events = deltas(http, server, "first add 1 and 2, then ping", tools=[PING, ADD])
        begun = [
            part
            for event in events
            for part in event["delta"].get("tool_calls", [])
            if "id" in part
        ]
        assert [(part["index"], part["function"]) for part in begun] == [
            (0, {"name": "add"}),
            (1, {"name": "ping"}),
        ]
        assert len({part["id"] for part in begun}) == 2

    def test_a_truncated_call_is_length_in_a_stream_and_raw_text_in_a_whole_answer(
        self, server: Fake, http: httpx2.Client
    ) -> None:
        assert (
            deltas(http, server, "add 1 and 2", tools=[ADD], max_tokens=5)[-1]["finish_reason"]
            == "length"
        )
        whole = ask(http, server, "add 1 and 2", tools=[ADD], max_tokens=5)
        assert whole["finish_reason"] == "length"
        assert whole["message"]["content"] == '<tool_call>\n{"name":'
        assert "tool_calls" not in whole["message"]

    def test_a_stop_string_in_the_arguments_cuts_them(
        self, server: Fake, http: httpx2.Client
    ) -> None:
        events = deltas(http, server, "add 1 and 2", tools=[ADD], stop=[', "b"'])
        assert gathered(events) == [("add", '{"a": 1')]
        assert events[-1]["stop_reason"] == ', "b"'

    def test_calls_count_in_the_usage(self, server: Fake, http: httpx2.Client) -> None:
        ask(http, server, "Hello", tools=[PING], tool_choice="required")
        assert ledger(http, server)[-1]["tokens"] > 10, (
            "what the parser takes out is made all the same"
        )


class TestWhichTool:
    @pytest.mark.parametrize(
        ("text", "names"),
        [
            ("What is the value of get_weather('Bern')?", ["get_weather"]),
            ("What is the weather in Bern?", ["get_weather"]),
            ("Please ADD 1 and 2", ["add"]),
            ("ping, then get_weather", ["ping", "get_weather"]),
            ("Address the camping site", []),
            ("Hello", []),
        ],
    )
    def test_without_a_choice_the_model_calls_the_tool_that_the_user_names(
        self, text: str, names: list[str], server: Fake, http: httpx2.Client
    ) -> None:
        answer = ask(http, server, text, tools=[WEATHER, ADD, PING])
        assert [name for name, _ in called(answer)] == names
        assert bool(answer["message"]["content"]) == (not names)

    def test_the_default_choice_is_auto(self, server: Fake, http: httpx2.Client) -> None:
        assert called(ask(http, server, "ping", tools=[PING], tool_choice=None)) == [("ping", {})]

    def test_the_choice_none_calls_no_tool(self, server: Fake, http: httpx2.Client) -> None:
        assert called(ask(http, server, "ping", tools=[PING], tool_choice="none")) == []

    def test_the_choice_required_calls_the_first_tool_if_the_user_names_none(
        self, server: Fake, http: httpx2.Client
    ) -> None:
        assert called(
            ask(http, server, "Hello", tools=[PING, WEATHER], tool_choice="required")
        ) == [("ping", {})]

    def test_there_is_one_call_if_parallel_calls_are_off(
        self, server: Fake, http: httpx2.Client
    ) -> None:
        answer = ask(
            http, server, "add 1 and 2, then ping", tools=[PING, ADD], parallel_tool_calls=False
        )
        assert called(answer) == [("add", {"a": 1, "b": 2})]

    def test_after_a_tool_result_the_model_answers_with_text(
        self, server: Fake, http: httpx2.Client
    ) -> None:
        call = {"id": "call_1", "type": "function", "function": {"name": "ping", "arguments": "{}"}}
        messages = [
            {"role": "system", "content": [{"type": "text", "text": "Be brief."}]},
            {"role": "user", "content": "ping"},
            {"role": "assistant", "content": None, "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "call_1", "content": "pong"},
        ]
        answer = http.post(
            f"{server.base_url}/chat/completions", json={"messages": messages, "tools": [PING]}
        ).json()
        assert answer["choices"][0]["message"]["content"]
        assert answer["choices"][0]["finish_reason"] == "stop"


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ({"tool_choice": "auto"}, "`tools` must be set"),
        (
            {"tools": [PING], "tool_choice": {"type": "function", "function": {"name": "pong"}}},
            "does not match any",
        ),
        (
            {"tools": [PING], "tool_choice": {"type": "function"}},
            "Invalid value for `function`: `None`",
        ),
        (
            {
                "tools": [PING],
                "tool_choice": {"type": "function", "function": {"name": "ping"}},
                "structured_outputs": {"choice": ["a"]},
            },
            "or tools, not both",
        ),
    ],
)
def test_a_tool_that_cannot_be_called_is_refused(
    more: dict[str, Any], says: str, server: Fake, http: httpx2.Client
) -> None:
    answer = http.post(
        f"{server.base_url}/chat/completions",
        json={"messages": [{"role": "user", "content": "Hi"}], **more},
    )
    assert answer.status_code == 400
    assert says in answer.json()["error"]["message"]


class TestMisbehaviour:
    def test_endless_arguments_do_not_end(self, server: Fake, http: httpx2.Client) -> None:
        events = deltas(
            http, server, "Hello", tools=[WEATHER], tool_choice="required", fake_scenario="endless"
        )
        assert len(events) == 400
        assert all(event["delta"]["tool_calls"] for event in events)
        [(_, arguments)] = gathered(events)
        with pytest.raises(json.JSONDecodeError):
            json.loads(arguments)

    @pytest.mark.parametrize("tools", [[ADD], [PING]], ids=["numbers", "no arguments"])
    def test_endless_white_space_in_arguments_is_silence_as_on_vllm(
        self, tools: list[Any], server: Fake, http: httpx2.Client
    ) -> None:
        body = {
            "messages": [{"role": "user", "content": "Hi"}],
            "tools": tools,
            "tool_choice": "required",
            "stream": True,
        }
        with (
            pytest.raises(httpx2.ReadTimeout),
            http.stream(
                "POST",
                f"{server.base_url}/chat/completions",
                json={**body, "fake_scenario": "endless"},
                timeout=1.0,
            ) as answer,
        ):
            list(answer.iter_lines())
        assert ledger(http, server)[-1]["tokens"] > 100

    @pytest.mark.parametrize("tools", [[WEATHER], [PING]], ids=["a string", "no arguments"])
    @pytest.mark.parametrize(
        "scenario",
        ["stall:after=30", "keep_alive:after=30", "no_first_token", "no_headers", "endless"],
    )
    def test_each_fault_delays_a_whole_answer(
        self, scenario: str, tools: list[Any], server: Fake, http: httpx2.Client
    ) -> None:
        body = {
            "messages": [{"role": "user", "content": "Hi"}],
            "tools": tools,
            "tool_choice": "required",
        }
        with pytest.raises(httpx2.ReadTimeout):
            http.post(
                f"{server.base_url}/chat/completions",
                json={**body, "fake_scenario": scenario},
                timeout=0.3,
            )

    def test_stall_also_counts_tokens_that_are_not_sent(
        self, server: Fake, http: httpx2.Client
    ) -> None:
        body = {
            "messages": [{"role": "user", "content": "Hi"}],
            "tools": [PING],
            "tool_choice": "required",
            "stream": True,
        }
        got: list[str] = []
        with (
            pytest.raises(httpx2.ReadTimeout),
            http.stream(
                "POST",
                f"{server.base_url}/chat/completions",
                json={**body, "fake_scenario": "stall:after=9"},
                timeout=1.0,
            ) as answer,
        ):
            got.extend(line for line in answer.iter_lines() if line)
        assert len(got) == 1 + 1  # role, name
        assert ledger(http, server)[-1]["tokens"] == 1 + 9

    def test_a_finite_call_is_drawn_out_to_its_tokens_and_stays_whole(
        self, server: Fake, http: httpx2.Client
    ) -> None:
        answer = ask(
            http,
            server,
            "Hello",
            tools=[WEATHER],
            tool_choice="required",
            fake_scenario="finite:tokens=200",
        )
        [(_, arguments)] = called(answer)
        assert len(arguments["city"].split()) > 100
        assert ledger(http, server)[-1]["tokens"] == 200 + 1


def test_a_tool_whose_parameters_ask_for_too_much_is_called_with_an_empty_object(
    server: Fake, http: httpx2.Client
) -> None:
    large = tool("large", a={"type": "string", "minLength": 10**9})
    choice = {"type": "function", "function": {"name": "large"}}
    (call,) = ask(http, server, "Go", tools=[large], tool_choice=choice)["message"]["tool_calls"]
    assert json.loads(call["function"]["arguments"]) == {}
