"""Checks of the installation, a corpus, or a model with clips."""
