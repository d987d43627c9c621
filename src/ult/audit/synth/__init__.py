"""Measure synthetic records, anyone's: how true they are, what they are good for, and what they betray."""
