"""Phrases: patches counted, merges learned and applied, ids spelled out again."""
