"""Shards as samples of a model."""
