"""Tell the clients of a model's user from those that this package made."""

import os
from collections.abc import Iterable
from typing import Any

import openai
from pydantic import BaseModel, SecretStr

from stream_deadline._clients import PerLoopClient, PerProcessClient

OUR_CLIENTS = (PerLoopClient, PerProcessClient)
KEY_VARIABLE = "OPENAI_API_KEY"
PLACEHOLDER_KEY = "vllm-only-base-model"
KEY_FIELDS = {"api_key", "openai_api_key"}


def sdk_client_of(resource: Any) -> Any:
    """Return the SDK's client under a resource; None: it is not the plain one."""
    completions = openai.resources.chat.completions
    if not isinstance(resource, (completions.Completions, completions.AsyncCompletions)):
        return None
    from stream_deadline import _raw_chunks

    client = resource._client
    is_wrapped = {"with_options", "copy"} & vars(client).keys()
    return client if _raw_chunks.is_plain(resource) and not is_wrapped else None


def http_client_of(resource: Any) -> Any:
    """Return the HTTP client under a resource of the SDK; None: there is none."""
    return getattr(getattr(resource, "_client", None), "_client", None)


def addresses_of(resources: Iterable[Any]) -> list[str]:
    """Return the different addresses that resources of the SDK, or wrappers of them, ask."""
    found = []
    for resource in resources:
        client = resource
        for _ in range(3):  # a wrapper may keep the resource under the same name
            client = getattr(client, "_client", None)
            if (address := getattr(client, "base_url", None)) is not None:
                found.append(str(address))
                break
    return list(dict.fromkeys(found))


def is_users(client: Any) -> bool:
    """Return whether a client, or the HTTP client under it, was made by the user."""
    for _ in range(2):  # under a resource is the SDK's client, and under that the HTTP client
        if not isinstance(client, OUR_CLIENTS) and hasattr(client, "_client"):
            client = client._client
    return client is not None and not isinstance(client, OUR_CLIENTS)


def has_key_of_environment(client: Any, values: dict[str, Any]) -> bool:
    """Return whether a model is made with our client's key of the environment.

    Args:
        client: of the model that is copied.
        values: what the new model is made of.
    """
    key = values.get("openai_api_key", values.get("api_key"))
    return getattr(client, "key_of_environment", False) and client.api_key == secret_of(key)


def is_from_environment(key: Any) -> bool:
    """Return whether a key is found again in the environment, or is the placeholder."""
    return secret_of(key) in (os.environ.get(KEY_VARIABLE), PLACEHOLDER_KEY)


def secret_of(key: Any) -> Any:
    """Return the text of a key; a callable is returned as it is."""
    return key.get_secret_value() if isinstance(key, SecretStr) else key


def has_own_default(cls: type[BaseModel], field: str) -> bool:
    """Return whether a subclass has given a field of keys a value of its own."""
    default = cls.model_fields[field].default
    return isinstance(default, str | SecretStr) or callable(default)
