"""Attacks on a code: what an adversary without the table can decode from ids."""

from ult.host.moved import moved_names

__getattr__ = moved_names(__name__, "best", "guesses")
