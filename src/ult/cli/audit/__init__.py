"""The commands below `ult audit`."""
