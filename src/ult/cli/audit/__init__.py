"""The verbs of `ult audit`."""
