"""Prompts as data: one file a version, rendered strictly, hashed in a lock file."""
