"""Differential privacy for a training and for the counts that a table is fitted on: accounting and randomness."""
