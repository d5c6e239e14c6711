"""What lies in an output: snapshots, the published one, their history and differences, locks."""
