"""Stop strings: what is held back, and where the text is cut."""

import pytest

from fake_vllm.model.stops import StopStrings


def told(stops: StopStrings, tokens: list[str], *, early: int = 0) -> list[str]:
    """The text after each token; no stop acts in the first `early` of them."""
    shown = []
    for made, token in enumerate(tokens, start=1):
        stops.feed(token, search=made > early)
        shown.append(stops.take())
        if stops.hit is not None:
            return shown
    return [*shown, stops.rest()]


def test_a_possible_beginning_of_a_stop_string_is_held_back() -> None:
    assert told(StopStrings(["stop"]), ["a st", "o", "ne"]) == ["a", " ", "st", "one"]


@pytest.mark.parametrize(
    ("tokens", "text", "hit"),
    [
        (["a b", "c d"], "a ", "bc"),
        (["x", "y"], "xy", None),
        (["bc"], "", "bc"),
        (["bbc"], "b", "bc"),
        (["b", "b", "c"], "b", "bc"),
        (["zz bc"], "", "zz"),
    ],
)
def test_the_text_is_cut_before_the_stop_string_that_is_complete_first(
    tokens: list[str], text: str, hit: str | None
) -> None:
    stops = StopStrings(["bc", "zz"])
    assert ("".join(told(stops, tokens)), stops.hit) == (text, hit)


def test_a_stop_string_may_stay_in_the_text_and_then_nothing_is_held_back() -> None:
    stops = StopStrings(["bc"], include=True)
    assert told(stops, ["a b", "c d"]) == ["a b", "c"]
    assert stops.hit == "bc"


def test_a_stop_string_in_the_first_tokens_ends_nothing() -> None:
    stops = StopStrings(["bc"])
    assert "".join(told(stops, ["bc", "b", "c", "bc", "x"], early=3)) == "bcbc"
    assert stops.hit == "bc"


def test_nothing_is_held_back_without_stop_strings() -> None:
    assert told(StopStrings([]), ["a", "", "b"]) == ["a", "", "b", ""]
