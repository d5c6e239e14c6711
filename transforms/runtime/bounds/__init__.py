"""What may be in memory at once, what of it is taken where not all fits, and threads where none does."""
