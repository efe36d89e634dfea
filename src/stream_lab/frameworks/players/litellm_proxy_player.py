"""The LiteLLM proxy: a stream through it with OpenAI's SDK.

Each cell is a model of the proxy.
"""

import http.client
import json
import random
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

from openai import OpenAI
from protocol import KEY, LONG, MESSAGES, MODEL, Ask, Cell, play

# The proxy takes seconds to listen. Clients are given higher ports, so that none takes this one.
PORT = random.randrange(20_000, 30_000)


def model(cell: Cell) -> dict[str, object]:
    limit = cell.timeout if cell.setting in ("timeout", "duration") else LONG
    given = {"model": f"openai/{MODEL}", "api_base": cell.base_url, "api_key": KEY}
    limits = {"timeout": limit, "stream_timeout": limit}
    return {"model_name": cell.scenario, "litellm_params": {**given, **limits}}


def start(cells: list[Cell]) -> None:
    open_to_all = {"dangerously_permit_weak_or_unset_master_key": True}
    config = {"model_list": [model(each) for each in cells], "general_settings": open_to_all}
    Path("config.yaml").write_text(json.dumps(config), encoding="utf-8")
    program = Path(sys.executable).with_name("litellm")
    command = [program, "--config", "config.yaml", "--host", "127.0.0.1", "--port", str(PORT)]
    subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    for _ in range(600):
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{PORT}/health/liveliness", timeout=1).close()
            return
        except (OSError, http.client.HTTPException):
            time.sleep(0.1)
    raise SystemExit("the proxy was not ready within 60 s")


def prepare(cell: Cell) -> Ask:
    client = OpenAI(base_url=f"http://127.0.0.1:{PORT}/v1", api_key=KEY, timeout=LONG)
    completions = cell.bounded(client).chat.completions
    return lambda: completions.create(model=cell.scenario, messages=MESSAGES, stream=True)


play(prepare, before=start)
