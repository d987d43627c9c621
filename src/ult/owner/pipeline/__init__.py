"""Long work of the owner: records in pieces, on all cores or machines, resumed after a kill."""
