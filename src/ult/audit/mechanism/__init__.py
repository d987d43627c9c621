"""Audits of the private mechanisms: the real code is run many times, with a record and without it."""

from ult.host.moved import moved_names

__getattr__ = moved_names(__name__, "audit_mechanism")
