"""Federated training: one body that travels between owners, whose tables and embedding rows stay at home."""
