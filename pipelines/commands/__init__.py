"""One file a command of `catalog-enrich`, and what commands share."""
