"""Pictures of parts: named masks over a photo, and sheets of several pictures."""
