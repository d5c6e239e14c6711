"""The cascade that fills missing values: rules, probes, language model."""
