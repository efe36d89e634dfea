"""The states of a player, and the error of an illegal move."""

import pytest

from fake_vllm.response.state import IllegalMove, State


@pytest.mark.parametrize(
    ("state", "following"),
    [
        (State.NEW, State.STEPPING),
        (State.STEPPING, State.FAST),
        (State.FAST, State.STEPPING),
        (State.STEPPING, State.OVER),
        (State.FAST, State.OVER),
    ],
)
def test_a_response_starts_takes_the_fast_path_leaves_it_and_ends(
    state: State, following: State
) -> None:
    assert state.to(following) is following


@pytest.mark.parametrize(
    ("state", "following", "says"),
    [
        (State.OVER, State.STEPPING, "is over"),
        (State.OVER, State.OVER, "is over"),
        (State.NEW, State.FAST, "has not started"),
        (State.NEW, State.OVER, "has not started"),
        (State.STEPPING, State.NEW, "is played step by step"),
        (State.STEPPING, State.STEPPING, "is played step by step"),
        (State.FAST, State.FAST, "is on the fast path"),
    ],
)
def test_an_illegal_move_names_the_state_it_was_in(
    state: State, following: State, says: str
) -> None:
    with pytest.raises(
        IllegalMove,
        match=f"The response {says}; it cannot move from {state.name} to {following.name}",
    ):
        state.to(following)
