"""The answer of `/v1/models`."""

from typing import Any

from fake_vllm.api.server_rules import Rules


def models(rules: Rules, permission_id: str) -> dict[str, Any]:
    """Return a list with a card for each name of the model.

    Args:
        rules: the server's rules.
        permission_id: "modelperm-" and 16 hexadecimal digits, new for each answer.
    """
    allow = {
        "id": permission_id,
        "object": "model_permission",
        "created": rules.started,
        "allow_create_engine": False,
        "allow_sampling": True,
        "allow_logprobs": True,
        "allow_search_indices": False,
        "allow_view": True,
        "allow_fine_tuning": False,
        "organization": "*",
        "group": None,
        "is_blocking": False,
    }
    card = {
        "object": "model",
        "created": rules.started,
        "owned_by": "vllm",
        "root": rules.served_model_name,
        "parent": None,
        "max_model_len": rules.max_model_len,
        "permission": [allow],
    }
    return {"object": "list", "data": [{"id": name, **card} for name in rules.names]}
