"""A run, or two systems -> one self-contained HTML file, and what is right and wrong with translations."""
