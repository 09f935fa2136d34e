"""The loop, the optimiser, checkpoints and the record of a run; knows a Stage, never a model."""
