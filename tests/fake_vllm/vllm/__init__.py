"""A stand-in for vLLM, which real interpreters find through PYTHONPATH; see
entrypoints/openai/api_server.py.
"""
