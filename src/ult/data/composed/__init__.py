"""Records composed of the fields of a row, or of all rows of a unit such as a patient."""
