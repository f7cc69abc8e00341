"""Component 1, the Segment Anything Model: its checkpoints and its mask decoder."""
