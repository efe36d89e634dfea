"""LangChain's own tests for chat models: `ChatVllm` is a drop-in for `ChatOpenAI`."""

import os
from collections.abc import Iterator
from importlib.metadata import version
from typing import Any

import pytest
from langchain_core.language_models import BaseChatModel
from langchain_tests.integration_tests import ChatModelIntegrationTests
from langchain_tests.unit_tests import ChatModelUnitTests

from stream_deadline import ChatVllm
from stream_lab.experiment.fake import Fake

MODEL = "fake-model"
OUTPUT_VERSION = tuple(int(part) for part in version("langchain-openai").split(".")[:2]) >= (1, 0)


@pytest.fixture(scope="module", autouse=True)
def server() -> Iterator[str]:
    os.environ["NO_PROXY"] = "127.0.0.1"
    with Fake("finite", gap=0, model=MODEL) as fake:
        TestIntegration.base_url = TestFunctionCalling.base_url = fake.base_url
        yield fake.base_url


class _Flags:
    base_url: str

    @property
    def chat_model_class(self) -> type[BaseChatModel]:
        return ChatVllm

    @property
    def chat_model_params(self) -> dict[str, Any]:
        return {"model": MODEL, "base_url": self.base_url}

    @property
    def supports_json_mode(self) -> bool:
        return True

    @property
    def supports_anthropic_inputs(self) -> bool:
        return True

    @property
    def model_override_value(self) -> str:
        return MODEL

    @pytest.fixture
    def model(self, request: Any) -> BaseChatModel:
        extra = getattr(request, "param", None) or {}
        if "output_version" in extra and not OUTPUT_VERSION:
            pytest.skip("langchain-openai 0.3 has no output_version, in ChatOpenAI neither")
        return ChatVllm(**{**self.standard_chat_model_params, **self.chat_model_params, **extra})  # type: ignore[attr-defined]


class TestUnit(_Flags, ChatModelUnitTests):
    base_url = "http://127.0.0.1:1/v1"

    @property
    def init_from_env_params(self) -> tuple[dict[str, str], dict[str, Any], dict[str, Any]]:
        environment = {"OPENAI_API_KEY": "a-key", "OPENAI_API_BASE": self.base_url}
        return (
            environment,
            {"model": MODEL},
            {"openai_api_key": "a-key", "openai_api_base": self.base_url},
        )


class TestIntegration(_Flags, ChatModelIntegrationTests):
    """Skipped tests need images, sound, PDFs or recorded sessions."""


class TestFunctionCalling(_Flags, ChatModelIntegrationTests):
    @property
    def structured_output_kwargs(self) -> dict[str, Any]:
        return {"method": "function_calling"}
