"""Synthetic tables from noisy counts of pairs of columns: for tables that are too small for a run to learn."""
