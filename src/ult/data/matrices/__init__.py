"""Annotated matrices of cells by genes, in HDF5."""
