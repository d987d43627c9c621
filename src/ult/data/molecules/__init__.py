"""Molecules: files of structures, canonical SMILES, sides of reactions."""
