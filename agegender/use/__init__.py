"""Trained models on a reader's own files."""
