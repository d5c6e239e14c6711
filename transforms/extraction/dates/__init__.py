"""Dates: as texts and cells write them, and in the formats that a template names."""
