"""Options, graphs and entry points."""

# Before Beam, whichever module imports it first: it quietens a warning.
import transforms  # noqa: F401
