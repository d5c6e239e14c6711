"""One stage a file: pure functions first, thin PTransforms second."""

import logging

# Beam warns at import that Google's packages are missing; without its gcp extra they are, and
# nobody need act.
logging.getLogger().addFilter(lambda record: "apitools not found" not in record.getMessage())
