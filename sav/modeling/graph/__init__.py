"""Component 2, the knowledge graph: one prompt a part class, and classifiers made of its nodes."""
