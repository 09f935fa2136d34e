"""Video files to frames to batches."""
