"""Measurements of gmemsim itself: never part of the test run (docs/benchmarks.md)."""
