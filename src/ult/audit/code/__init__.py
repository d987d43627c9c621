"""Attacks on a code: what an adversary without the table can decode from ids."""
