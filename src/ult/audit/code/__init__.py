"""Attacks on a code: what an adversary without the table reads of ids."""
