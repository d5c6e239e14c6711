"""From options to a checked, frozen configuration."""
