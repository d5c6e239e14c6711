"""The tables of a snapshot: their columns, their Arrow schemas, and one specification each."""
