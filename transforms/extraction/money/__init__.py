"""Amounts of money: read from cells and objects, found in texts."""
