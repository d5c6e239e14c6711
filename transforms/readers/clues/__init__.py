"""What names, rows and letters tell of how a file is written and where its records are."""
