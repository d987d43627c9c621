"""Audits of the private mechanisms: the real code is run many times, with a record and without it."""
