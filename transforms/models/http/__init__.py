"""Models behind an HTTP endpoint: the client, and the `openai` backends of chat and encoders."""
