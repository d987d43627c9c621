"""Audits of the private mechanisms: the real code run many times, with a record and without."""
