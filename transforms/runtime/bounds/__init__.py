"""What may be in memory at once, and what of it is taken where not all fits."""
