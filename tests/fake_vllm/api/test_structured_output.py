"""Structured output: the text conforms, streamed or whole, and misbehaves like any other."""

import json
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest

from fake_vllm.testing import FakeVllm as Fake

PERSON = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "age": {"type": "integer"}},
    "required": ["name", "age"],
}


@pytest.fixture(scope="module")
def server() -> Iterator[Fake]:
    with Fake("finite", gap=0) as fake:
        yield fake


def by_schema(schema: Any) -> dict[str, Any]:
    return {
        "response_format": {"type": "json_schema", "json_schema": {"name": "it", "schema": schema}}
    }


def ask(client: httpx2.Client, fake: Fake, text: str = "Hello", **more: Any) -> str:
    body = {"messages": [{"role": "user", "content": text}], **more}
    answer = client.post(f"{fake.base_url}/chat/completions", json=body)
    answer.raise_for_status()
    content: str = answer.json()["choices"][0]["message"]["content"]
    return content


def stream(
    client: httpx2.Client, fake: Fake, text: str = "Hello", *, most: int = 400, **more: Any
) -> list[str]:
    """The texts of a stream's events; at most so many."""
    body = {"messages": [{"role": "user", "content": text}], "stream": True, **more}
    got: list[str] = []
    with client.stream("POST", f"{fake.base_url}/chat/completions", json=body) as answer:
        for line in answer.iter_lines():
            if line.startswith("data: {"):
                got.append(
                    json.loads(line.removeprefix("data: "))["choices"][0]["delta"]["content"]
                )
            if len(got) > most:
                break
    return got


@pytest.mark.parametrize(
    "more", [by_schema(PERSON), {"structured_outputs": {"json": PERSON}}], ids=["OpenAI", "vLLM"]
)
def test_json_conforms_to_the_schema(
    more: dict[str, Any], server: Fake, http: httpx2.Client
) -> None:
    person = json.loads(ask(http, server, **more))
    assert list(person) == ["name", "age"]
    assert (type(person["name"]), type(person["age"])) == (str, int)


def test_a_stream_has_the_same_text_in_several_pieces(server: Fake, http: httpx2.Client) -> None:
    pieces = stream(http, server, **by_schema(PERSON))
    assert len(pieces) > 10
    assert "".join(pieces) == ask(http, server, **by_schema(PERSON))


def test_the_seed_decides(server: Fake, http: httpx2.Client) -> None:
    first, again, other = (ask(http, server, seed=seed, **by_schema(PERSON)) for seed in (1, 1, 2))
    assert first == again
    assert first != other


def test_the_prompt_offers_values(server: Fake, http: httpx2.Client) -> None:
    assert json.loads(ask(http, server, "'Ada' is 36", **by_schema(PERSON))) == {
        "name": "Ada",
        "age": 36,
    }


def test_any_object_has_the_keys_that_the_prompt_quotes(server: Fake, http: httpx2.Client) -> None:
    format = {"type": "json_object"}
    assert ask(http, server, response_format=format) == "{}"
    assert list(
        json.loads(
            ask(http, server, "JSON with 'setup' and 'punchline' keys", response_format=format)
        )
    ) == [
        "setup",
        "punchline",
    ]


def test_a_choice_is_one_of_them_and_the_named_one_if_any(
    server: Fake, http: httpx2.Client
) -> None:
    either = {"choice": ["yes", "no"]}
    assert ask(http, server, structured_outputs=either) in ("yes", "no")
    assert ask(http, server, "Say no", structured_outputs=either) == "no"


def test_plain_completions_are_constrained_too(server: Fake, http: httpx2.Client) -> None:
    body = {"prompt": "Hello", "structured_outputs": {"json": {"const": 5}}}
    assert (
        http.post(f"{server.base_url}/completions", json=body).json()["choices"][0]["text"] == "5"
    )


@pytest.mark.parametrize(
    ("outputs", "text"),
    [
        ({"regex": "ab{3}"}, "abbb"),
        ({"grammar": 'root ::= "yes" | "no"'}, "yes"),
        (
            {
                "structural_tag": json.dumps(
                    {"type": "structural_tag", "format": {"type": "const_string", "value": "ok"}}
                )
            },
            "ok",
        ),
    ],
)
def test_other_constraints_are_followed_as_far_as_a_text_can_be_made_up(
    outputs: Any, text: str, server: Fake, http: httpx2.Client
) -> None:
    assert ask(http, server, structured_outputs=outputs) == text


def test_the_format_text_is_no_constraint(server: Fake, http: httpx2.Client) -> None:
    assert ask(http, server, response_format={"type": "text"}) == ask(http, server)


def test_a_complete_text_ends_with_stop_even_if_the_scenario_wanted_fewer_tokens(
    server: Fake, http: httpx2.Client
) -> None:
    assert json.loads(ask(http, server, fake_scenario="finite:tokens=2", **by_schema(PERSON)))


@pytest.mark.parametrize(
    ("schema", "filler"),
    [(PERSON, None), ({"type": "object"}, " "), ({"enum": ["a"]}, "")],
    ids=["text", "space", "nothing"],
)
def test_endless_json_does_not_end(
    schema: Any, filler: str | None, server: Fake, http: httpx2.Client
) -> None:
    pieces = stream(http, server, fake_scenario="endless", **by_schema(schema))
    assert len(pieces) == 401
    assert filler is None or set(pieces[-300:]) == {filler}
    assert filler == "" or not pieces[-1].endswith("}")


def test_max_tokens_cuts_json(server: Fake, http: httpx2.Client) -> None:
    with pytest.raises(json.JSONDecodeError):
        json.loads(ask(http, server, max_tokens=5, **by_schema(PERSON)))


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ({"response_format": {"type": "json_schema"}}, "the 'json_schema' field must be provided."),
        (
            {"structured_outputs": {"json": {}, "choice": ["a"]}},
            "You can only use one kind of constraints",
        ),
        (
            {"structured_outputs": {"json_object": True, "choice": ["a"]}},
            "but multiple are specified",
        ),
        ({"structured_outputs": {"choice": []}}, "cannot be an empty list"),
        ({"structured_outputs": {"json": "{"}}, "Invalid JSON grammar specification."),
        (
            by_schema({"type": "object", "properties": 5}),
            "Grammar error: properties must be an object",
        ),
        (
            by_schema({"type": "string", "pattern": "^q{9}$", "maxLength": 5}),
            "fake-vllm has no text for the pattern",
        ),
    ],
)
def test_a_constraint_that_cannot_be_played_is_refused(
    more: dict[str, Any], says: str, server: Fake, http: httpx2.Client
) -> None:
    answer = http.post(
        f"{server.base_url}/chat/completions",
        json={"messages": [{"role": "user", "content": "Hi"}], **more},
    )
    assert answer.status_code == 400
    assert says in answer.json()["error"]["message"]


def tag(format: Any) -> dict[str, Any]:
    text = json.dumps({"type": "structural_tag", "format": format})
    return {"structured_outputs": {"structural_tag": text}}


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ({"structured_outputs": {"structural_tag": "[" * 100_000}}, "Invalid structured_outputs"),
        (tag({"type": []}), "Invalid structured_outputs"),
        (tag({"type": "or", "elements": None}), "must be a list"),
        (tag({"type": "sequence", "elements": 5}), "must be a list"),
        (tag({"type": "json_schema", "json_schema": "[" * 100_000}), "is not JSON"),
        ({"structured_outputs": {"json": {"type": [[]]}}}, "Invalid type: []"),
        (
            {"structured_outputs": {"grammar": "root ::= " + "a" * 20_000}},
            "A grammar may have at most 20,000 characters",
        ),
        (
            {"structured_outputs": {"choice": ["a" + "_a" * n for n in range(100)]}},
            "at most 200,000",
        ),
    ],
)
def test_a_form_that_is_no_form_is_refused(
    more: dict[str, Any], says: str, server: Fake, http: httpx2.Client
) -> None:
    body = {"messages": [{"role": "user", "content": "a_" * 5000}], **more}
    answer = http.post(f"{server.base_url}/chat/completions", json=body)
    assert answer.status_code == 400
    assert says in answer.json()["error"]["message"]


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ({"structured_outputs": {"regex": "(((a{1000}){1000}){1000})"}}, "at most 200,000"),
        ({"structured_outputs": {"regex": "(" * 3000 + ")" * 3000}}, "nested too deeply"),
        ({"structured_outputs": {"regex": "a" * 30_000}}, "at most 20,000 characters"),
        (by_schema({"type": "string", "minLength": 10**9}), "at most 200,000"),
        ({"structured_outputs": {"grammar": "root ::= root root root"}}, "at most 200,000"),
        (
            {
                "structured_outputs": {
                    "regex": "[" + "".join(f"{chr(0x300 + n)}-\uffff" for n in range(90)) + "]"
                }
            },
            "at most 200,000",
        ),
    ],
    ids=["repetitions", "depth", "length", "schema", "grammar", "ranges"],
)
def test_a_form_that_asks_for_too_much_is_refused(
    more: dict[str, Any], says: str, server: Fake, http: httpx2.Client
) -> None:
    body = {"messages": [{"role": "user", "content": "Hello"}], **more}
    answer = http.post(f"{server.base_url}/chat/completions", json=body)
    assert answer.status_code == 400
    assert says in answer.json()["error"]["message"]
