"""Structures that are texts: JSON, exact and mended, what other languages print, and paths into
them.
"""
