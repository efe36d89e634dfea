"""The LiteLLM proxy in front of another server."""

import json
from typing import Any

from stream_lab.processes.backends.recipe import Environment, Place, Recipe

MODEL = "proxied"
ENVIRONMENT = Environment("litellm", packages=("litellm[proxy]==1.106.2",), disk=2e9)


def litellm(upstream: str, model: str, **settings: Any) -> Recipe:
    """Return the recipe of a LiteLLM proxy.

    Args:
        upstream: the address of the server behind it, which ends in /v1.
        model: the name of that server's model.
        settings: settings of the model, for example `timeout=2`.
    """
    chosen = {
        "model": f"openai/{model}",
        "api_base": upstream,
        "api_key": "none",
        "max_retries": 0,
        **settings,
    }
    configuration = {
        "model_list": [{"model_name": MODEL, "litellm_params": chosen}],
        # The proxy is reachable only from this machine, and guards a fake.
        "general_settings": {"dangerously_permit_weak_or_unset_master_key": True},
    }

    def command(place: Place) -> list[str]:
        file = place.folder / "config.yaml"
        file.write_text(json.dumps(configuration), encoding="utf-8")  # JSON is YAML
        program = place.python.with_name("litellm")
        return [
            str(program),
            "--config",
            str(file),
            "--host",
            "127.0.0.1",
            "--port",
            str(place.port),
        ]

    return Recipe(
        "LiteLLM proxy",
        ENVIRONMENT,
        command,
        MODEL,
        ready="/health/liveliness",
        variables={
            "LITELLM_TELEMETRY": "False",
            "LITELLM_LOCAL_MODEL_COST_MAP": "True",
            "PYTHONUNBUFFERED": "1",
        },
        memory=1.5e9,
        usually="10 to 30 s",
    )
