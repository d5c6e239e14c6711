"""From a reference to a decoded, described and encoded image."""
