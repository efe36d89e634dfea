"""llama.cpp behind llama-cpp-python's server, with a small random-weight model."""

from pathlib import Path

from stream_lab.processes.backends.recipe import Environment, Place, Recipe

MODEL = "small"


def _prepare(place: Place) -> dict[Path, list[str]]:
    file = place.folder / "small.gguf"
    return {file: [str(place.python), str(Path(__file__).with_name("random_gguf.py")), str(file)]}


def _command(place: Place) -> list[str]:
    return [
        *(str(place.python), "-m", "llama_cpp.server", "--model", str(place.folder / "small.gguf")),
        *("--model_alias", MODEL, "--n_ctx", "16384", "--verbose", "False"),
        *("--host", "127.0.0.1", "--port", str(place.port)),
    ]


LLAMA_CPP = Recipe(
    "llama-cpp-python's server",
    Environment(
        "llama-cpp",
        packages=("llama-cpp-python[server]==0.3.36", "gguf==0.19.0"),
        disk=2e9,
        minutes="it is compiled, ten minutes or more; needs a C++ compiler and cmake",
        # Only what a server of text needs, compiled for any machine.
        variables={"CMAKE_ARGS": "-DLLAVA_BUILD=OFF -DGGML_NATIVE=OFF -DLLAMA_CURL=OFF"},
    ),
    _command,
    MODEL,
    prepare=_prepare,
    ready="/v1/models",
    memory=1e9,
    # The server accepts ignore_eos, but without an effect; 2 is the end token.
    extra_body={"logit_bias": {"2": -100}},
)
