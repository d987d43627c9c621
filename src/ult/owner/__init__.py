"""The owner's wing: whoever holds the table. Nothing here is needed, or may be imported, to train."""
