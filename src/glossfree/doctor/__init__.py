"""Will this work? The installation, a corpus, a model and clips."""
