"""Chat models behind an HTTP endpoint: client, messages, the `openai` backend."""
