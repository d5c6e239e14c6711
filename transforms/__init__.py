"""One stage a file: pure functions first, thin PTransforms second."""
