"""What the machine is asked for: files that appear whole, locks, streams, signs of life, compiled code."""
