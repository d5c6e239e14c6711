"""What may be in memory at once, what is taken where not all fits, and threads where none does."""
