"""One file a format: its extensions, how it is scanned, and how quarantined bytes are rebuilt."""
