"""Measurements, as ratios in one run: `make bench`. Numbers that were seen stand in docs/benchmarks.md."""
