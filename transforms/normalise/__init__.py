"""From raw records to typed values: identity, event time, and what each cell says."""
