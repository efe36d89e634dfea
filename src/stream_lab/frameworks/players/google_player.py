"""Google's SDK `google-genai`, synchronous: a stream of content."""

import httpx
from google import genai
from google.genai.types import HttpOptions
from protocol import KEY, MODEL, QUESTION, Ask, Cell, play


def prepare(cell: Cell) -> Ask:
    client = genai.Client(
        api_key=KEY,
        http_options=HttpOptions(
            base_url=cell.root,
            timeout=int(cell.natural() * 1000),
            httpx_client=cell.bounded(httpx.Client()),
        ),
    )
    return lambda: client.models.generate_content_stream(model=MODEL, contents=QUESTION)


play(prepare)
