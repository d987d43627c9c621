"""What the columns of a table hold: kinds, forms, bins, identifiers, and the schema that says so."""
