"""From annotation files to what the model takes: registration, augmentation, the mapper."""
