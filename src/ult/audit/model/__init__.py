"""Attacks on a run: membership, extraction, canaries."""

from ult.host.moved import moved_names

__getattr__ = moved_names(__name__, "audit_model")
