"""What the machine is asked for: files that appear whole, locks, streams, optional packages, compiled code."""
