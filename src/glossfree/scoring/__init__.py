"""Scores of any system's sentences, without torch."""
