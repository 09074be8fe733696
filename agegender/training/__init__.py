"""Fitting a model to batches, and the checkpoints that let a run go on where it was stopped."""
