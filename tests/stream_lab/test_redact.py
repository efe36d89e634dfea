"""Secrets are hidden whole, in part where a text was cut, and at little cost."""

import html
import json
import time
from collections.abc import Callable
from urllib.parse import quote

import pytest

from stream_lab.redact import HIDDEN, spellings_of, without, without_in_json, without_whole

SECRET = "sk-0123456789"
CUT = {
    "whole": (f"it is {SECRET} there", f"it is {HIDDEN} there"),
    "at the end": ("it is sk-0123", f"it is {HIDDEN}"),
    "before the last stop": ("it is sk-0123.", f"it is {HIDDEN}."),
    "before the last line break": ("it is sk-0123.\n", f"it is {HIDDEN}.\n"),
    "before each ellipsis": ("sk-012345… and sk-0123… it", f"{HIDDEN}… and {HIDDEN}… it"),
    "twice in a row": ("sk-0123sk-01234…", f"sk-0123{HIDDEN}…"),
    "a part of five characters": ("it is sk-01…", "it is sk-01…"),
    "a part in the middle": ("it is sk-0123 there…", "it is sk-0123 there…"),
    "encoded": ("it is %73k-0123456789x", f"it is {HIDDEN}x"),
    "encoded and cut": ("it is %73k-01234…", f"it is {HIDDEN}…"),
    "after an encoded run": ("a%20b sk-0123456789", f"a%20b {HIDDEN}"),
}


@pytest.mark.parametrize(("text", "shown"), CUT.values(), ids=CUT)
def test_a_secret_and_its_cut_first_part_are_hidden(text: str, shown: str) -> None:
    assert without(text, spellings_of([SECRET])) == shown


KEY = "Ab9canary/Qz1+xY7=="
SPELLED: dict[str, Callable[[str], str]] = {
    "PHP's JSON": lambda key: key.replace("/", "\\/"),
    ".NET's JSON": lambda key: key.replace("+", "\\u002B"),
    "Gson's JSON": lambda key: key.replace("=", "\\u003d"),
    "one letter as JSON": lambda key: f"\\u{ord(key[0]):04x}{key[1:]}",
    "JSON in JSON": lambda key: json.dumps(json.dumps(key.replace("/", "\\u002f")))[3:-3],
    "HTML of a template": lambda key: key.replace("/", "&#x2F;").replace("=", "&#x3D;"),
    "one letter as HTML": lambda key: f"&#{ord(key[0])};{key[1:]}",
    "HTML with zeros": lambda key: "".join(f"&#{ord(each):010};" for each in key),
    "HTML in HTML": lambda key: html.escape(key.replace("+", "&plus;")),
    "a part of an address": lambda key: quote(key, safe=""),
    "a part of an address, in small letters": lambda key: quote(key, safe="").replace("%2F", "%2f"),
    "an address with a plus": lambda key: quote(key, safe="+"),
    "an address in an address": lambda key: quote(
        quote(key, safe="").replace("%2F", "%2f").replace("%3D", "%3d"), safe=""
    ),
}


@pytest.mark.parametrize("key", [KEY, "sk-canary_0123456789", "pass word"])
@pytest.mark.parametrize("spell", SPELLED.values(), ids=SPELLED)
def test_a_secret_is_hidden_as_others_spell_it(spell: Callable[[str], str], key: str) -> None:
    secrets = spellings_of([key])
    for hide in (without, without_whole, without_in_json):
        assert hide(f'{{"said": "it is {spell(key)}!"}}', secrets) == (
            f'{{"said": "it is {HIDDEN}!"}}'
        )


@pytest.mark.parametrize(
    "key", ["true", "null", "1111", "text", "12345678", 'a-key-with-"', "x\\" * 5]
)
def test_a_file_without_a_secret_is_still_json(key: str) -> None:
    value = {"text": [True, None, 1111, 0.123456789, f"It is {key}.", '"', "\\"]}
    shown = json.loads(without_in_json(json.dumps(value), spellings_of([key])))
    assert shown["text"][:4] == value["text"][:4]
    assert shown["text"][5:] == value["text"][5:]
    assert (shown["text"][4] == f"It is {key}.") == (len(key) < 8)


def test_a_file_that_was_cut_off_keeps_no_secret_and_costs_no_more() -> None:
    secrets = spellings_of([KEY])
    for text in (f'{{"text": ["it is {KEY}', f'{{"text": "it is {KEY}\\', KEY, f"{{{KEY}}}"):
        assert without_in_json(text, secrets) == text.replace(KEY, HIDDEN)

    def cost(quotes: int) -> float:
        began = time.process_time()
        without_in_json(f'["{KEY}", "' + '{\\"a\\": 1}, ' * quotes, secrets)
        return time.process_time() - began

    few, many = min(cost(500) for _ in range(3)), min(cost(4000) for _ in range(3))
    assert many < few * 24 + 0.1  # eight times as long; it was 64 times as much


def test_a_secret_of_bytes_that_are_not_text_is_hidden_too() -> None:
    assert without("it is sk-01\udcff23 there", spellings_of(["sk-01\udcff23"])) == (
        f"it is {HIDDEN} there"
    )


@pytest.mark.parametrize("text", ["http://host:1/chat", "{0}…", "{0}x {0}%41", "sk-012" * 100])
def test_the_cost_of_a_text_does_not_grow_with_the_square_of_the_secret(text: str) -> None:
    def cost(length: int) -> float:
        secret = ("sk-012345abcdefgh" * length)[:length]
        secrets, shown = spellings_of([secret]), text.format(secret[: length - 5])
        began = time.process_time()
        for _ in range(10):
            without(shown, secrets)
        return time.process_time() - began

    assert cost(3200) < 100 * cost(100) + 0.05
