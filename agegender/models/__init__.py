"""Encoders, heads and losses. Nothing here knows a corpus, a path or a file; ``resnet`` alone asks torch.hub."""
