"""What `catalog-enrich doctor` looks at: the machine and the models."""
