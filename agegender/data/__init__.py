"""From files on disk to batches: the manifest, its splits, image decoding and caches, and loading."""
