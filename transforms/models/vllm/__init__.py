"""The `vllm` backend: a server that is started, shared between runs, watched and stopped."""
