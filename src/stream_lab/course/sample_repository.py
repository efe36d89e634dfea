"""Four small files with streaming traps, real and apparent, for the check of code."""

from pathlib import Path
from tempfile import mkdtemp

FILES = {
    "app.py": '''\
"""The web application."""

from fastapi import FastAPI, Request
from langchain_core.prompts import ChatPromptTemplate
from langchain_openai import ChatOpenAI

app = FastAPI()
prompt = ChatPromptTemplate.from_messages([("user", "{question}")])
chain = prompt | ChatOpenAI(model="m", timeout=45)


@app.middleware("http")
async def log(request, call_next):
    print(request.url)
    return await call_next(request)


@app.post("/answer")
async def answer(question: str, request: Request):
    parts = []
    async for chunk in chain.astream({"question": question}):
        parts.append(chunk.text)
        if await request.is_disconnected():
            break
    return {"text": "".join(parts)}


@app.post("/summary")
async def summary(question: str):
    return {"text": chain.invoke({"question": question}).text}
''',
    "crew.py": '''\
"""The crew of a ship: an agent here is a person with a mailbox."""


class Agent:
    def __init__(self):
        self.mailbox = []

    def invoke(self, order):
        self.mailbox.append(order)


async def sail(agent, orders):
    for order in orders:
        agent.invoke(order)
''',
    "nightly.py": '''\
"""Tonight's reports, one after the other: a script that cron starts."""

import asyncio
import time

from langchain_openai import ChatOpenAI

model = ChatOpenAI(model="m")


async def main():
    for name in ("sales", "stock"):
        answer = await model.ainvoke(f"Report on {name}.")
        print(answer.text)
        time.sleep(2)  # the provider allows one request every two seconds


asyncio.run(main())
''',
    "story.py": '''\
"""A chain that tells stories."""

import asyncio

from langchain_core.runnables import RunnableGenerator
from langchain_openai import ChatOpenAI

model = ChatOpenAI(model="m")


async def words(topics):
    async with asyncio.timeout(45):
        async for topic in topics:
            async for chunk in model.astream(topic):
                yield chunk.text


chain = RunnableGenerator(words)
''',
}
"""The files by name."""

REASONS = {
    "a": "true: all other requests of this process stand still meanwhile",
    "b": "true: a stream that keeps sending is never cut",
    "c": "true: this middleware hides the disconnect of the client from the handler",
    "d": "true: it cancels the task that entered it, and a chain pulls each chunk in another",
    "e": "true, and harmless: nothing else runs in this event loop",
    "f": "false: the object is not a model, and the call returns at once",
}
"""The possible judgements of a finding."""


def write(folder: Path | None = None) -> Path:
    """Write the files, and return their folder.

    Args:
        folder: the folder. None: a new temporary one.
    """
    place = folder or Path(mkdtemp(prefix="sample-"))
    for name, text in FILES.items():
        (place / name).write_text(text, encoding="utf-8")
    return place
