"""The owner's long work: read records in pieces, on all cores or several machines, and resume it after a kill."""
