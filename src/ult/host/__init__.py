"""Services of the machine: files that appear whole, locks, streams, optional packages, progress, compiled code."""
