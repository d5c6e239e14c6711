"""The catalog template, everything derived from it, and the elements that travel between stages."""
