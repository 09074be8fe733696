"""One module for each corpus: its files on disk become a manifest."""
