"""Worker processes of this machine that are started ahead of their work."""
