"""The real catalogs, written again as other programs write them, and read back."""
