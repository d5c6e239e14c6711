"""Models loaded into the process: `embedded` and `transformers`."""
