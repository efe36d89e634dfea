"""Serve a random-weight Qwen3 on this machine's GPU, or on its CPU.

`python -m gpu.torch_server --size 8b --port 8000`
"""

import argparse
import sys
from functools import partial
from typing import NoReturn

import torch

from fake_vllm.app import App
from fake_vllm.http import server
from fake_vllm.http.listening import CannotListen
from fake_vllm.model.vocabulary import FIRST_WORD, SIZE
from fake_vllm.settings import Settings, SettingsError, make
from gpu.torch_server.engine import TorchEngine
from gpu.torch_server.player import TorchPlayer
from stream_lab.processes.backends.random_qwen3 import CONTEXT, SIZES


def main() -> None:
    """Run the server until it is stopped."""
    parser = argparse.ArgumentParser(prog="python -m gpu.torch_server", description=__doc__)
    parser.add_argument(
        "--size", choices=SIZES, default="0.6b", help="the size of the model; default: %(default)s"
    )
    parser.add_argument(
        "--device",
        default="cuda" if torch.cuda.is_available() else "cpu",
        help="default: %(default)s",
    )
    parser.add_argument("--host", default="127.0.0.1", help="default: %(default)s")
    parser.add_argument("--port", default="8000", help="default: %(default)s")
    parser.add_argument("--model", help="the name of the model; default: random-qwen3-SIZE")
    options = parser.parse_args()
    name = options.model or f"random-qwen3-{options.size}"
    try:
        settings = make(
            {
                "host": options.host,
                "port": options.port,
                "served_model_name": name,
                "max_model_len": CONTEXT,
            }
        )
        engine = _engine(options.size, options.device)
        print(
            f"torch-server: {engine.parameters / 1e6:,.1f} million random weights are on "
            f"{_name(options.device)}",
            flush=True,
        )
        try:
            server.run(settings, partial(_app, engine), name="torch-server")
        finally:
            engine.close()
    except (SettingsError, CannotListen) as error:
        _fail(str(error))


def _engine(size: str, device: str) -> TorchEngine:
    try:
        return TorchEngine(size, device, first=FIRST_WORD, last=SIZE)
    except (RuntimeError, AssertionError) as error:  # torch's own errors, with out of memory
        reason = str(error).splitlines()[0].rstrip(".")
        _fail(
            f"A model of size {size} cannot be made on {device}: {reason}. Choose another --size "
            "or --device."
        )


def _app(engine: TorchEngine, settings: Settings) -> App:
    return App(settings, partial(TorchPlayer, engine), plain=True)


def _name(device: str) -> str:
    return (
        torch.cuda.get_device_name(device) if device.startswith("cuda") else f"the {device.upper()}"
    )


def _fail(message: str) -> NoReturn:
    print(f"torch-server: {message}", file=sys.stderr)
    raise SystemExit(2)


if __name__ == "__main__":
    main()
