"""Measurements behind the claims in docs/benchmarks.md."""
