"""The end of a sequence, forced and banned tokens, and the cost of a sequence."""

import tracemalloc
from itertools import islice
from typing import Any

import pytest

from fake_vllm.model.plan import Echo, GenerationPlan, Phrase, Recorded
from fake_vllm.model.sampling import Repetition, Sampling, banned_by, forced_by
from fake_vllm.model.script import Draft, Script
from fake_vllm.model.text_piece import PLAIN, Finish, Piece, merge
from fake_vllm.model.vocabulary import END, IDS

ORDINARY = 300
NAME = PLAIN[ORDINARY].text


def made(
    sampling: Sampling, *, most: int | None = 12, eos_after: int | None = None, seed: str = "0 Hi"
) -> list[Piece]:
    plan = GenerationPlan(eos_after, most, None)
    return list(sampling.sequence(Script(seed, "Hi").pieces(plan), plan))


def end(pieces: list[Piece]) -> tuple[int, str | None, Any]:
    return len(pieces), pieces[-1].finish, pieces[-1].stop


def text(pieces: list[Piece]) -> str:
    return "".join(piece.text for piece in pieces)


def test_the_same_seed_gives_the_same_text_and_another_one_does_not() -> None:
    assert text(made(Sampling())) == text(made(Sampling())) != text(made(Sampling(), seed="1 Hi"))


@pytest.mark.parametrize(
    ("plan", "tokens", "reason"),
    [
        (GenerationPlan(eos_after=None, max_tokens=7, context=None), 7, "length"),
        (GenerationPlan(eos_after=None, max_tokens=70, context=9), 9, "length"),
        (GenerationPlan(eos_after=3, max_tokens=70, context=90), 4, "stop"),  # the end token counts
        (GenerationPlan(eos_after=3, max_tokens=3, context=None), 3, "length"),
        (GenerationPlan(eos_after=0, max_tokens=1, context=None), 1, "stop"),
    ],
)
@pytest.mark.parametrize(
    "sampling", [Sampling(), Sampling(stops=("no such text",))], ids=["plain", "looked at"]
)
def test_the_first_limit_reached_ends_the_answer(
    plan: GenerationPlan, tokens: int, reason: Finish, sampling: Sampling
) -> None:
    pieces = list(sampling.sequence(Script("s", "").pieces(plan), plan))
    assert end(pieces) == (tokens, reason, None)


def test_inspecting_each_token_does_not_change_the_text() -> None:
    assert text(made(Sampling(), eos_after=9, most=20)) == text(
        made(Sampling(stops=("no such text",)), eos_after=9, most=20)
    )


class TestEnds:
    def test_a_stop_token_ends_the_sequence_and_is_shown_only_on_request(self) -> None:
        pieces = made(Sampling(forced=ORDINARY, stop_ids=frozenset({ORDINARY})))
        assert (text(pieces), *end(pieces)) == ("", 1, "stop", ORDINARY)
        assert (
            text(made(Sampling(forced=ORDINARY, stop_ids=frozenset({ORDINARY}), include_stop=True)))
            == NAME
        )

    def test_a_stop_string_ends_the_sequence_at_the_last_allowed_token(self) -> None:
        pieces = made(Sampling(forced=ORDINARY, stops=(NAME * 3,)), most=3)
        assert (text(pieces), *end(pieces)) == ("", 3, "stop", NAME * 3)

    def test_ignore_eos_skips_the_end_token(self) -> None:
        assert end(made(Sampling(forced=END))) == (1, "stop", None)
        pieces = made(Sampling(forced=END, ignore_eos=True), most=5)
        assert (text(pieces), *end(pieces)) == ("", 5, "length", None)
        assert (
            text(made(Sampling(forced=END, ignore_eos=True, skip_special=False), most=2))
            == "<|im_end|>" * 2
        )

    @pytest.mark.parametrize(("ignore", "stop"), [(True, END), (False, None)])
    def test_the_end_token_is_reported_as_a_stop_token_only_if_it_is_not_the_end(
        self, ignore: bool, stop: int | None
    ) -> None:
        assert end(made(Sampling(forced=END, stop_ids=frozenset({END}), ignore_eos=ignore))) == (
            1,
            "stop",
            stop,
        )

    def test_no_end_or_stop_token_comes_before_min_tokens(self) -> None:
        pieces = made(Sampling(forced=END, min_tokens=6))
        assert end(pieces) == (7, "stop", None)
        assert all(piece.text for piece in pieces[:6])
        pieces = made(Sampling(forced=ORDINARY, stop_ids=frozenset({ORDINARY}), min_tokens=3))
        assert end(pieces) == (4, "stop", ORDINARY)
        assert ORDINARY not in [piece.ids[0] for piece in pieces[:3]]

    def test_no_stop_string_ends_the_sequence_before_min_tokens(self) -> None:
        assert end(made(Sampling(forced=ORDINARY, stops=(NAME,), min_tokens=4))) == (
            5,
            "stop",
            NAME,
        )


class TestRepetition:
    @pytest.mark.parametrize(
        ("repetition", "expected"),
        [
            (Repetition(1, 1, 4), (4, "repetition", "repetition_detected")),
            (Repetition(1, 4, 6), (6, "repetition", "repetition_detected")),
            (Repetition(0, 1, 4), (4, "repetition", "repetition_detected")),
            (Repetition(3, 3, 2), (6, "repetition", "repetition_detected")),
            (Repetition(1, 1, 12), (12, "length", None)),  # the length is looked at first
            (Repetition(1, 1, 40), (12, "length", None)),
        ],
    )
    def test_a_pattern_that_repeats_n_times_ends_the_sequence(
        self, repetition: Repetition, expected: Any
    ) -> None:
        assert end(made(Sampling(forced=ORDINARY, repetition=repetition))) == expected

    def test_no_repetition_ends_the_sequence_before_min_tokens(self) -> None:
        assert end(made(Sampling(forced=ORDINARY, repetition=Repetition(1, 1, 2), min_tokens=5)))[
            :2
        ] == (5, "repetition")

    def test_a_phrase_is_found_by_its_length(self) -> None:
        plan = GenerationPlan(None, 100, None, Phrase("once more and"))
        sampling = Sampling(repetition=Repetition(1, 5, 3))
        assert end(list(sampling.sequence(Script("s", "").pieces(plan), plan)))[:2] == (
            9,
            "repetition",
        )

    def test_a_long_text_that_does_not_repeat_goes_on(self) -> None:
        assert end(made(Sampling(repetition=Repetition(1, 8, 3)), most=60)) == (60, "length", None)


class TestSteering:
    def test_a_bias_forces_and_bans(self) -> None:
        assert forced_by([(5, 1.0), (ORDINARY, 100.0)]) == ORDINARY
        assert forced_by([(5, 1.0)]) is None
        assert banned_by([(5, -100.0), (6, -1.0)]) == [(5,)]

    def test_a_banned_token_never_comes(self) -> None:
        usual = made(Sampling(), most=40)
        banned = usual[3].ids
        pieces = made(Sampling(banned=(banned,)), most=40)
        assert banned not in [piece.ids for piece in pieces]
        assert [piece.ids for piece in pieces[:3]] == [piece.ids for piece in usual[:3]]

    def test_only_the_last_token_of_a_banned_sequence_is_banned(self) -> None:
        first, second = made(Sampling(), most=2)
        pieces = made(Sampling(banned=((*first.ids, *second.ids),)), most=2)
        assert pieces[0].ids == first.ids
        assert pieces[1].ids != second.ids

    def test_only_allowed_tokens_come(self) -> None:
        assert {piece.ids[0] for piece in made(Sampling(allowed=(ORDINARY, 301)))} == {
            ORDINARY,
            301,
        }

    def test_a_byte_is_no_character_by_itself(self) -> None:
        first, second = (Sampling(forced=id) for id in (IDS["a"], 5 + 0xC3 - 0x21))
        assert text(made(first, most=2)) == "aa"
        assert "\ufffd" in text(made(second, most=3))

    def test_no_bias_changes_a_text_whose_shape_is_set(self) -> None:
        plan = GenerationPlan(50, None, 100)
        script = Script("s", "", Draft('{"a": 1}'))
        assert (
            text(list(Sampling(forced=ORDINARY).sequence(script.pieces(plan), plan, steered=False)))
            == '{"a": 1}'
        )


class TestSources:
    def test_a_recorded_text_is_replayed_token_by_token(self) -> None:
        plan = GenerationPlan(100, None, None, Recorded(("One", " two", "three words here")))
        pieces = list(Sampling().sequence(Script("s", "").pieces(plan), plan))
        assert [piece.text for piece in pieces] == ["One", " two", "three words here", ""]
        assert all(len(piece.ids) == 1 for piece in pieces)

    def test_a_recorded_text_starts_again_if_it_may_not_end(self) -> None:
        plan = GenerationPlan(None, 5, None, Recorded(("a", "b")))
        assert text(list(Sampling().sequence(Script("s", "").pieces(plan), plan))) == "ababa"

    def test_echo_repeats_the_prompt(self) -> None:
        plan = GenerationPlan(100, None, None, Echo())
        assert (
            text(list(Sampling().sequence(Script("s", "héllo there").pieces(plan), plan)))
            == "héllo there"
        )


def test_an_event_has_two_steps_if_necessary() -> None:
    assert merge(Piece("a", (1,)), Piece("b", (2,), "stop", "x")) == Piece(
        "ab", (1, 2), "stop", "x"
    )


@pytest.mark.parametrize(
    "sampling",
    [Sampling(), Sampling(stops=("zzzz",)), Sampling(forced=ORDINARY)],
    ids=["plain", "stops", "forced"],
)
def test_an_endless_sequence_needs_no_more_memory(sampling: Sampling) -> None:
    plan = GenerationPlan(None, None, None)
    pieces = sampling.sequence(Script("s", "").pieces(plan), plan)
    sum(1 for _ in islice(pieces, 2_000))
    tracemalloc.start()
    sum(1 for _ in islice(pieces, 20_000))
    grown, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert grown < 20_000


def test_the_pieces_of_a_plain_sequence_are_made_once() -> None:
    pieces = made(Sampling(), most=200)
    assert all(piece is PLAIN[piece.ids[0]] for piece in pieces[:-1])
