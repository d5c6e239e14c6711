"""Vectors of the enriched text."""
