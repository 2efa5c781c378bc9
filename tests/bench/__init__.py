"""Measurements: `make bench` runs them. Most are ratios within one run, so that they hold on a busy machine too.

docs/benchmarks.md holds the numbers that were measured.
"""
