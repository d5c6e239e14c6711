"""What changed since the last snapshot, and what of it can be used again."""
