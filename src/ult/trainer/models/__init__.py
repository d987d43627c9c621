"""Models for ids: made, loaded, checked, and how they write."""
