"""Benchmarks of waiting, whole runs, parsing, delivery and the UI, compared with alternatives."""
