"""A release candidate: facts, findings, verdict, page."""
