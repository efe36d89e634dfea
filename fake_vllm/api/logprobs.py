"""Log-probabilities as chats, completions and prompts show them."""

from collections.abc import Sequence
from typing import Any

from fake_vllm.model.logprobs import Candidate, drawn, given, named_by_client, token_text


def _name(candidate: Candidate, *, as_ids: bool) -> str:
    return f"token_id:{candidate.id}" if as_ids else candidate.token


def _candidates(id: int, top: int, named: Sequence[int]) -> list[Candidate]:
    return named_by_client(id, list(named)) if named else drawn(id, top)


def of_chat(ids: Sequence[int], top: int, named: Sequence[int], *, as_ids: bool) -> dict[str, Any]:
    """Return the `logprobs` of a chat's choice.

    Args:
        ids: the tokens.
        top: how many alternatives to list.
        named: the tokens to list instead. Empty: the likeliest.
        as_ids: whether tokens are shown by id.
    """
    content = []
    for id in ids:
        candidates = _candidates(id, top, named)
        listed = candidates if named else candidates[:top]
        own = {**_shown(candidates[0], as_ids=as_ids), "bytes": list(token_text(id).encode())}
        content.append(
            {**own, "top_logprobs": [_shown(candidate, as_ids=as_ids) for candidate in listed]}
        )
    return {"content": content}


def _shown(candidate: Candidate, *, as_ids: bool) -> dict[str, Any]:
    token = _name(candidate, as_ids=as_ids)
    return {"token": token, "logprob": candidate.logprob, "bytes": list(token.encode())}


def of_completion(
    prompt: Sequence[int],
    ids: Sequence[int],
    top: int,
    named: Sequence[int],
    *,
    as_ids: bool,
    offset: int = 0,
) -> dict[str, Any]:
    """Return the `logprobs` of a completion's choice.

    Args:
        prompt: the tokens that are echoed before it.
        ids: the tokens.
        top: how many alternatives to list.
        named: the tokens to list instead. Empty: the likeliest.
        as_ids: whether tokens are shown by id.
        offset: where the text begins, in characters.
    """
    places: list[list[Candidate] | None] = [
        None if at == 0 else given(id, top) for at, id in enumerate(prompt)
    ]
    places += [_candidates(id, top, named) for id in ids]
    tokens = [f"token_id:{id}" if as_ids else token_text(id) for id in (*prompt, *ids)]
    offsets = [offset]
    for token in tokens[:-1]:
        offsets.append(offsets[-1] + len(token))
    return {
        "text_offset": offsets if tokens else [],
        "token_logprobs": [None if place is None else place[0].logprob for place in places],
        "tokens": tokens,
        "top_logprobs": [
            None
            if place is None
            else {_name(candidate, as_ids=as_ids): candidate.logprob for candidate in place}
            for place in places
        ],
    }


def of_prompt(ids: Sequence[int], top: int | None) -> list[Any] | None:
    """Return the `prompt_logprobs`, without any for the first token. None: not wanted."""
    if top is None:
        return None
    places: list[Any] = [None]
    for id in ids[1:]:
        place = given(id, top)
        places.append(
            {
                str(one.id): {"logprob": one.logprob, "rank": one.rank, "decoded_token": one.token}
                for one in place
            }
        )
    return places
