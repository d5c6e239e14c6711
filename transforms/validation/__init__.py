"""Checks of rows, files and whole snapshots, and the drift between two of them."""
