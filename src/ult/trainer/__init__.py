"""The trainer's wing: ids in, a run out. It never sees a table, a codec or a record."""
