"""Servers on PyTorch and transformers, on the CPU: `transformers serve`, and gpu/torch_server."""

from functools import partial
from pathlib import Path

from stream_lab.processes.backends.recipe import Environment, Place, Recipe
from stream_lab.processes.backends.vllm import MODEL, make_model

WITH_WEIGHTS = f"{MODEL}-qwen3-weights"
TORCH = "torch==2.13.0+cpu"
ENVIRONMENT = Environment(
    "transformers",
    packages=("transformers[serving]==5.19.0", "accelerate==1.15.0", "requests", TORCH),
    disk=3e9,
)
# The server lists the models in its cache, and fails without a cache.
OFFLINE = {"HF_HUB_OFFLINE": "1", "HF_HUB_DISABLE_TELEMETRY": "1", "HF_HUB_CACHE": "{folder}"}


def _command(place: Place) -> list[str]:
    program = place.python.with_name("transformers")
    model = str(place.folder / WITH_WEIGHTS)
    return [
        str(program),
        "serve",
        model,
        "--host",
        "127.0.0.1",
        "--port",
        str(place.port),
        "--device",
        "cpu",
    ]


TRANSFORMERS = Recipe(
    "transformers serve",
    ENVIRONMENT,
    _command,
    model=f"{{folder}}/{WITH_WEIGHTS}",
    prepare=partial(make_model, weights=True),
    variables=OFFLINE,
    memory=2e9,
    usually="10 to 20 s",
)


def torch_server(checkout: Path) -> Recipe:
    """Return the recipe of gpu/torch_server, with the requirements of a GPU machine.

    Args:
        checkout: the folder of the project.
    """
    return Recipe(
        "gpu/torch_server",
        Environment(
            "torch-server",
            ("transformers==5.19.0", TORCH, "-r", str(checkout / "gpu" / "requirements.txt")),
            disk=3e9,
        ),
        lambda place: [
            *(str(place.python), "-m", "gpu.torch_server", "--size", "tiny", "--device", "cpu"),
            *("--port", str(place.port), "--model", MODEL),
        ],
        model=MODEL,
        variables={"PYTHONPATH": f"{checkout}:{checkout / 'src'}"},
        memory=1e9,
        usually="5 to 10 s",
    )
