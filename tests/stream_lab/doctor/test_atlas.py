"""The atlas finds the limit of a path that ends a stream."""

import math
from typing import Any

import pytest

from stream_lab.doctor.atlas import (
    AtlasError,
    Stream,
    layers,
    named_in,
    stack,
    what_to_set,
    who_fires_first,
)
from stream_lab.doctor.atlas_form import explore, firing, limits_of, search, verdicts
from stream_lab.doctor.atlas_picture import draw
from stream_lab.doctor.atlas_trial import ended_by
from stream_lab.doctor.limits import load
from stream_lab.experiment.evidence import Unknown
from stream_lab.experiment.trace import Ending, Recording

PAGE = stack(
    "browsers, Chromium", "nginx", "gunicorn, uvicorn worker", "LangChain, astream", "vLLM"
)
LOOSE: dict[str, float | None] = {"nginx, proxy_read_timeout": 3600}
OWN = stack("nginx", "gunicorn, uvicorn worker", "stream-deadline", "openai", "vLLM")
FLOWING = Stream(first=1, pause=0.1, total=400)


@pytest.mark.parametrize(
    ("path", "stream", "name", "at"),
    [
        (PAGE, Stream(1, 90, 200), "nginx, proxy_read_timeout", 61),
        (PAGE, Stream(90, 0, 200), "nginx, proxy_read_timeout", 60),
        (PAGE, Stream(1, 59, 200), "no limit", None),
        (PAGE, Stream(1, 60, 200), "no limit", None),
        (PAGE, Stream(1, 0.1), "no limit", None),
        # A comment keeps nginx quiet, and never reaches the SDK inside the application.
        (PAGE, Stream(1, 90, 200, comments=15), "no limit", None),
        (PAGE, Stream(90, 0, 200, comments=15), "no limit", None),
        (PAGE, Stream(1, 90, 200, comments=70), "nginx, proxy_read_timeout", 61),
        (PAGE, Stream(1, 150, 200, comments=15), "LangChain, ChatOpenAI stream_chunk_timeout", 121),
        (stack("nginx", "gunicorn, uvicorn worker", "openai", "vLLM"),
         Stream(1, 700, 800, comments=15), "openai, timeout", 601),
        # This one starts with the head of the answer.
        (PAGE.with_settings(LOOSE), Stream(150, 0, 200), "no limit", None),
        (stack("AWS ALB", "vLLM"), Stream(90, 0, 200), "AWS ALB, idle_timeout.timeout_seconds", 60),
        (stack("AWS ALB", "vLLM"), Stream(5, 90, 200), "AWS ALB, idle_timeout.timeout_seconds", 65),
        # A layer with a limit on the first byte, though it is off, has no other one for that.
        (stack("Caddy", "vLLM").with_settings({"Caddy, read_timeout": 30}), Stream(90, 0, 200),
         "no limit", None),
        (stack("Heroku", "vLLM"), Stream(50, 0, 200), "Heroku, initial window", 30),
        (stack("Envoy", "nginx", "vLLM"), FLOWING, "Envoy, route timeout", 15),
        (stack("nginx", "gunicorn, sync worker"), FLOWING, "gunicorn, --timeout, sync worker", 30),
        (stack("nginx", "gunicorn, gthread worker"), FLOWING, "no limit", None),
        (stack("openai", "vLLM"), Stream(1, 700, 800), "openai, timeout", 601),
        # On a path that begins with the SDK, the model's server sends the comments.
        (stack("openai", "vLLM"), Stream(1, 700, 800, comments=15), "no limit", None),
        (stack("LangChain, astream", "vLLM"), Stream(1, 150, 200, comments=15),
         "LangChain, ChatOpenAI stream_chunk_timeout", 121),
        (OWN.with_settings({"stream-deadline, timeout": 45}), Stream(1, 90, 200),
         "stream-deadline, timeout", 45),
        (OWN.with_settings({"stream-deadline, timeout": 45}), Stream(1, 0.1),
         "stream-deadline, timeout", 45),
        (OWN.with_settings({"stream-deadline, timeout": 45}), Stream(1, 1, 44), "no limit", None),
        (PAGE.with_settings({"nginx, proxy_read_timeout": None}), Stream(1, 110, 200),
         "no limit", None),
    ],
)  # fmt: skip
def test_the_shortest_limit_that_the_stream_exceeds_fires_first(
    path: Any, stream: Stream, name: str, at: float | None
) -> None:
    verdict = who_fires_first(path, stream)
    assert verdict.name == name
    assert (verdict.first.at if verdict.first else None) == at


def test_of_limits_that_fire_together_the_inner_is_first_and_a_race_is_named() -> None:
    path = stack("AWS ALB", "nginx", "vLLM")
    verdict = who_fires_first(path, Stream(1, 90, 200))
    assert verdict.first is not None
    assert verdict.first.layer.name == "nginx"
    assert [each.layer.name for each in verdict.race] == ["nginx", "AWS ALB"]
    assert "either may be first" in repr(verdict)
    apart = path.with_settings({"nginx, proxy_read_timeout": 50})
    assert len(who_fires_first(apart, Stream(1, 90, 200)).race) == 1


@pytest.mark.parametrize(
    ("path", "unset"),
    [
        (PAGE, ["total"]),
        (stack("vLLM"), ["first_byte", "idle", "total"]),
        (stack("AWS ALB"), ["total"]),
        (stack("Azure Front Door"), ["idle", "total"]),
        (stack("Envoy"), []),
        (stack("LangChain, astream"), ["first_byte", "total"]),
        (OWN.with_settings({"stream-deadline, timeout": 45}), []),
        (PAGE.with_settings({"nginx, proxy_read_timeout": None}), ["first_byte", "total"]),
    ],
)
def test_the_bounds_that_no_layer_sets_are_named(path: Any, unset: list[str]) -> None:
    assert path.unset() == unset


@pytest.mark.parametrize(
    ("stream", "words"),
    [
        (Stream(1, 90, 200), ["raise it above 90 s", "nginx.conf", "every 20 s", "No layer bounds"]),
        (Stream(1, 150, 200, comments=15), ["LANGCHAIN_OPENAI_STREAM_CHUNK_TIMEOUT_S"]),
        (Stream(1, 0.1), ["No layer bounds the whole answer"]),
    ],
)  # fmt: skip
def test_the_advice_names_the_knob_its_place_and_what_is_missing(
    stream: Stream, words: list[str]
) -> None:
    said = " ".join(what_to_set(who_fires_first(PAGE, stream)))
    assert not [word for word in words if word not in said], said


def test_the_advice_for_a_limit_of_a_chunk_is_no_comment() -> None:
    said = what_to_set(who_fires_first(PAGE, Stream(1, 150, 200, comments=15)))
    assert "comment" not in said[0]


def test_the_advice_for_a_limit_that_cannot_be_set_is_to_end_before_it() -> None:
    path = stack("Netlify, functions", "vLLM")
    (said,) = what_to_set(who_fires_first(path, FLOWING))
    assert "raise" not in said
    assert "end the answer yourself" in said


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: stack("nginks"), ["'nginks'", "did you mean 'nginx'"]),
        (lambda: stack("gunicorn"), ["'gunicorn, sync worker'"]),
        (lambda: stack(), ["a layer at least"]),
        (lambda: PAGE.with_settings({"proxy_read_timeout": 9}), ["'nginx, proxy_read_timeout'"]),
        (lambda: PAGE.with_settings({"vLLM, timeout": 9}), ["No layer of this path"]),
        (lambda: PAGE.with_settings({"gunicorn, --timeout, uvicorn worker": 9}), ["cannot be set"]),
        (lambda: stack("Heroku").with_settings({"Heroku, rolling window": 9}), ["cannot be set"]),
        *[
            (lambda bad=bad: PAGE.with_settings({"nginx, proxy_read_timeout": bad}), ["seconds"])
            for bad in (0, -1, math.nan, math.inf, "60", True, [60])
        ],
        (lambda: Stream(-1), ["none is negative"]),
        (lambda: Stream(math.inf), ["seconds"]),
        (lambda: Stream(1, math.nan), ["seconds"]),
        (lambda: Stream(1, 90, 60), ["make `total` longer"]),
        (lambda: Stream(1, comments=0), ["None means no comments"]),
    ],
)  # fmt: skip
def test_a_wrong_name_or_time_is_one_sentence_that_lists_what_there_is(
    call: Any, words: list[str]
) -> None:
    with pytest.raises(AtlasError) as caught:
        call()
    said = str(caught.value)
    assert "\n" not in said
    assert not [word for word in words if word not in said], said


def test_every_product_is_a_layer_and_every_limit_of_a_stream_is_in_one() -> None:
    inside = {limit for layer in layers().values() for limit in layer.limits}
    assert inside == {limit for limit in load() if limit.bounds in ("first_byte", "idle", "total")}
    named = {layer.name.split(",")[0] for layer in layers().values()}
    assert named == {limit.product for limit in load()}


def test_no_layer_has_two_limits_of_a_kind_that_bound_the_same_silence() -> None:
    for layer in layers().values():
        kinds = [(limit.bounds, limit.counts) for limit in layer.limits]
        assert len(kinds) == len(set(kinds)), layer.name


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("[error] 7#7: *2 upstream timed out (110: Connection timed out) while reading upstream, "
         "client: 127.0.0.1", "nginx, proxy_read_timeout"),
        ("upstream timed out (110: Connection timed out) while reading response header from "
         "upstream", "nginx, proxy_read_timeout"),
        ("[2026-11-27 19:51:42 +0000] [7234] [CRITICAL] WORKER TIMEOUT (pid:7237)",
         "gunicorn, --timeout, sync worker"),
        ("StreamDeadlineExceeded: The answer was not finished 1.5 s after the call began "
         "(timeout=1.5). 3 chunks had arrived.", "stream-deadline, timeout"),
        ("StreamChunkTimeoutError: No streaming chunk received for 5.0s (model=x, "
         "chunks_received=10). See …", "LangChain, ChatOpenAI stream_chunk_timeout"),
        ("OpenAITimeoutError: Request timed out.", "LangChain, ChatOpenAI timeout"),
        ("APIConnectionError: Connection error.", "no limit"),
        ("", "no limit"),
    ],
)  # fmt: skip
def test_a_message_in_a_log_or_an_error_names_its_limit(text: str, name: str) -> None:
    path = stack("nginx", "gunicorn, sync worker", "stream-deadline", "LangChain, astream")
    assert named_in(path, f"a line before\n{text}\na line after") == name
    failed = Recording(ending=Ending.FAILED, error="RemoteProtocolError: peer closed connection")
    assert ended_by(path, failed, text) == name


def test_the_longest_of_several_messages_names_the_limit() -> None:
    both = "ReadTimeout: timed out\nupstream timed out (110: Connection timed out) while reading upstream"
    assert named_in(stack("httpx", "nginx"), both) == "nginx, proxy_read_timeout"


def test_a_stream_that_was_not_cut_was_ended_by_no_limit() -> None:
    assert ended_by(PAGE, Recording(ending=Ending.GAVE_UP), "upstream timed out") == "no limit"
    assert isinstance(ended_by(PAGE, Recording(ending=Ending.FINISHED)), Unknown)


class TestThePicture:
    def test_says_in_words_what_it_shows(self) -> None:
        picture = draw(who_fires_first(PAGE, Stream(1, 90, 200)), "nginx ends the stream")
        assert "nginx ends the stream" in picture.alt
        assert "nginx: first byte 60 s, silence 60 s." in picture.alt
        assert "vLLM: no limit" in picture.alt
        assert "First to fire: nginx, proxy_read_timeout (60 s, silence)." in picture.alt
        commented = draw(who_fires_first(PAGE, Stream(1, 90, 200, comments=15)), "A comment")
        assert "with a comment every 15 s" in commented.alt

    def test_shows_every_layer_and_a_stream_that_never_ends(self) -> None:
        everything = stack(*layers())
        picture = draw(who_fires_first(everything, Stream(0, 0)), "All layers")
        labels = [each.get_text() for each in picture.figure.axes[0].get_yticklabels()]
        assert labels == ["the stream", *layers()]
        assert "it never ends" in picture.alt


class TestTheTables:
    def test_a_search_finds_a_message_a_knob_and_a_kind_in_any_order(self) -> None:
        assert [line[0] for line in search("H15").lines[1:]] == ["Heroku"]
        assert {line[1] for line in search("IDLE nginx").lines[1:]} == {
            "proxy_read_timeout",
            "send_timeout",
        }
        assert {line[3] for line in search("60 s", "total").lines[1:]} == {"total"}

    def test_the_limits_of_a_path_are_those_that_can_be_set(self) -> None:
        lines = limits_of(PAGE.with_settings(LOOSE)).lines[1:]
        assert ["nginx, proxy_read_timeout", "3600 s", "silence"] in lines
        assert ["LangChain, ChatOpenAI timeout", "off", "silence"] in lines
        assert not [line for line in lines if line[0].startswith(("gunicorn", "browsers"))]

    def test_a_search_that_finds_nothing_says_so(self) -> None:
        assert search("no such words").lines[1][0] == "nothing found"

    def test_examples_have_a_line_each_with_the_limit_and_what_is_unset(self) -> None:
        shown = verdicts({"page": who_fires_first(PAGE, Stream(1, 90, 200)),
                          "babble": who_fires_first(PAGE, Stream())})  # fmt: skip
        assert shown.lines[1][:3] == ["page", "nginx, proxy_read_timeout (60 s, silence)", "61 s"]
        assert shown.lines[2] == ["babble", "no limit", "never", "–", "total"]
        assert firing(who_fires_first(PAGE, Stream())).lines[1][:2] == ["never", "no limit"]

    def test_the_form_offers_every_layer_and_elsewhere_is_a_table(self) -> None:
        examples = {"page": who_fires_first(PAGE, Stream(1, 90, 200))}
        form = explore(examples, live=False)
        assert set(form._repr_mimebundle_()) == {"text/plain", "text/markdown"}
        offered = {value for field in form._fields.values() for value in field.values()}
        assert offered >= set(layers()) - {"vLLM", "stream-deadline"}
        for own in (None, 20.0):
            parts = form._show("browsers, Chromium", None, "nginx", None, "openai", own, 1.0, 90.0,
                               0.0, None)  # fmt: skip
            assert ("stream-deadline, timeout" in repr(parts[1])) is (own is not None)
