"""Pieces of Beam graphs that every room uses."""
