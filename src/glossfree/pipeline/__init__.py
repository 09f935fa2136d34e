"""A recipe and a corpus become models, batches and trained stages."""
