"""Cells that a record has besides those of its bytes: from its file's path, from rows above."""
