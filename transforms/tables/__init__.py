"""Output tables: rows built, written, and merged with the earlier snapshot."""
