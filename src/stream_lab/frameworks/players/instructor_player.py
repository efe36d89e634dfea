"""instructor: the parts of a structured answer, which it collects before it returns them."""

import instructor
from openai import OpenAI
from protocol import KEY, MESSAGES, MODEL, Ask, Cell, play
from pydantic import BaseModel


class Answer(BaseModel):
    text: str = ""


def prepare(cell: Cell) -> Ask:
    client = OpenAI(base_url=cell.base_url, api_key=KEY, timeout=cell.natural())
    structured = instructor.from_openai(cell.bounded(client), mode=instructor.Mode.JSON_SCHEMA)
    return lambda: structured.create_partial(response_model=Answer, model=MODEL, messages=MESSAGES)


play(prepare)
