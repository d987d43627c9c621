"""Record <-> symbols, one modality a file."""
