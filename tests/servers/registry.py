"""The emulators, by what they are called in the documentation."""

from __future__ import annotations

import os
from typing import Any

from tests.servers import azure_deployment
from tests.servers.anthropic import Anthropic
from tests.servers.azure_deployment import AzureDeployment
from tests.servers.azure_v1 import AzureV1
from tests.servers.bedrock import Bedrock
from tests.servers.databricks import Databricks
from tests.servers.deepseek import DeepSeek
from tests.servers.emulator import Emulator
from tests.servers.gemini import Gemini
from tests.servers.groq import Groq
from tests.servers.litellm import LiteLLM
from tests.servers.llama_cpp import BlindLlamaCpp, LlamaCpp
from tests.servers.lm_studio import LMStudio
from tests.servers.mistral import Mistral
from tests.servers.modelscope import ModelScope
from tests.servers.ollama import Ollama
from tests.servers.openai_chat import OpenAIChat
from tests.servers.openai_reasoning import OpenAIReasoning
from tests.servers.openrouter import OpenRouter
from tests.servers.tgi import Tgi
from tests.servers.vllm_thinking import VllmThinking

SERVERS: dict[str, type[Emulator]] = {
    "OpenAI, reasoning models": OpenAIReasoning,
    "OpenAI, chat models": OpenAIChat,
    "Azure OpenAI, deployments": AzureDeployment,
    "Azure OpenAI, v1": AzureV1,
    "Anthropic": Anthropic,
    "Gemini": Gemini,
    "Mistral": Mistral,
    "Groq": Groq,
    "OpenRouter": OpenRouter,
    "LiteLLM": LiteLLM,
    "vLLM with a reasoning parser": VllmThinking,
    "llama.cpp": LlamaCpp,
    "llama.cpp without a projector": BlindLlamaCpp,
    "LM Studio": LMStudio,
    "Ollama": Ollama,
    "TGI": Tgi,
    "Databricks": Databricks,
    "Bedrock": Bedrock,
    "ModelScope": ModelScope,
    "DeepSeek": DeepSeek,
}


def needed_options(server: Emulator) -> dict[str, Any]:
    """What a run has to be given of a server that no answer of it tells; sets the variable of its key."""
    if not isinstance(server, AzureDeployment):
        return {}
    os.environ["EMULATED_AZURE_KEY"] = azure_deployment.KEY
    return {
        "request_header": ("api-key=env:EMULATED_AZURE_KEY",),
        "request_query": (f"api-version={azure_deployment.API_VERSION}",),
    }
