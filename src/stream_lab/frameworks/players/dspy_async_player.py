"""DSPy, asynchronous: a whole answer of `dspy.LM`, by the engine that it prefers."""

import dspy
from protocol import KEY, MODEL, QUESTION, Ask, Cell, play


async def prepare(cell: Cell) -> Ask:
    model = dspy.LM(
        f"openai/{MODEL}",
        api_base=cell.base_url,
        api_key=KEY,
        timeout=cell.natural(),
        cache=False,
    )
    return lambda: model.acall(QUESTION)


play(prepare)
