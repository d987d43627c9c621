"""Byte-pair encoding: count patches, learn merges from them, write patches as ids, and turn ids back into symbols."""
