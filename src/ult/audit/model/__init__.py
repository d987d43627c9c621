"""Attacks on a run: membership, extraction, canaries."""
