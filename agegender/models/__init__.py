"""Encoders, heads and losses. Nothing here knows a corpus, a path or a file; ``imagenet`` alone asks torch.hub."""
