"""The ends of answers when the engine dies, as a vLLM 0.32 wrote them."""

from typing import Final

from fake_vllm.api import dumps
from fake_vllm.engine.slots import ENGINE_DEAD
from fake_vllm.response.response import Response
from fake_vllm.scenarios.base import Cut, Failure

MESSAGES: Final = "/v1/messages"
RESPONSES: Final = "/v1/responses"
UNREADABLE: Final = "2 validation errors for ChatCompletionStreamResponse\n" + "\n".join(
    f"{field}\n  Field required [type=missing, input_value={{'error': {{'message': 'En...am': "
    "None, 'code': 500}}, input_type=dict]\n    For further information visit "
    "https://errors.pydantic.dev/2.14/v/missing"
    for field in ("model", "choices")
)
"""The message of /v1/messages, whose converter cannot read the error of the chat below it."""


def last_words(response: Response) -> Failure | Cut:
    """Return how a response ends when its engine dies.

    A chat's or completion's stream has an error event and `[DONE]`; one of /v1/responses is cut in
    its body; one of /v1/messages has an error event of its own. A whole answer is a 500.
    """
    path, begun = response.entry.path, response.stream and response.status is not None
    if begun and path == RESPONSES:
        return Cut(clean=True)
    failure = Failure(500, "InternalServerError", ENGINE_DEAD, end="failed")
    if path == MESSAGES:
        error = {"type": "InternalServerError", "message": ENGINE_DEAD}
        failure.body = {"type": "error", "error": error}
        told = {"type": "error", "error": {"type": "internal_error", "message": UNREADABLE}}
        failure.events = [b"event: error\ndata: " + dumps(told) + b"\n\n"]
    return failure
