"""Drawn people, written to disk in each corpus's own format."""
