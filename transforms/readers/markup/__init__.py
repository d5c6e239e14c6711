"""Markup on its way to a parser, which keeps what belongs together in memory: kept to a size."""
