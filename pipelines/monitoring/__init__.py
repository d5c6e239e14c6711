"""What is shown of a run while it works and after it: progress, metrics, summary."""
