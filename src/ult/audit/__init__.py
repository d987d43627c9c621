"""Attacks: what an adversary without the table recovers, as evidence in and scores out."""
