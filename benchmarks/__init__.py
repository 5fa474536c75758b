"""Measurements: pytest-benchmark cases of hot functions, and the pipeline from bytes to disk."""
