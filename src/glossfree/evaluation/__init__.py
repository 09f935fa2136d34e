"""Decoding a split, scoring it, reporting it."""
