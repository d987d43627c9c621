"""Make models for ids, load them, check them, and let them write."""
