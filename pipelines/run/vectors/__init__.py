"""Tables of vectors of a run: which are rebuilt, of what, and whether encoders are the same."""
