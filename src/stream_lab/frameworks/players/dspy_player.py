"""DSPy: a whole answer of `dspy.LM`."""

import dspy
import litellm
from openai import DefaultHttpxClient
from protocol import KEY, MODEL, QUESTION, Ask, Cell, play


def prepare(cell: Cell) -> Ask:
    engine = "auto" if cell.setting == "timeout" else "litellm"
    # The one client of LiteLLM is a global; each cell has a deadline of its own around its call.
    if cell.has_budget and litellm.client_session is None:
        litellm.client_session = cell.bounded(DefaultHttpxClient())
    model = dspy.LM(
        f"openai/{MODEL}",
        api_base=cell.base_url,
        api_key=KEY,
        timeout=cell.natural() if engine == "auto" else cell.natural("litellm"),
        engine=engine,
        cache=False,
        num_retries=0 if cell.setting == "deadline-once" else 3,
    )

    def ask() -> None:
        model(QUESTION)

    return ask


play(prepare)
