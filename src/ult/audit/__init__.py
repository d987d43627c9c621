"""Attacks on codes, tables, runs and mechanisms, and the report of what they recover."""
