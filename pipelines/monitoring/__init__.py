"""Progress, metrics and summary of a run, while it works and after it."""
