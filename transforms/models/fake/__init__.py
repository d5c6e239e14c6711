"""Models that compute nothing: for tests, trials and the plan of a run."""
