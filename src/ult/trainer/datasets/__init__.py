"""Shards of ids as the samples of a model."""
