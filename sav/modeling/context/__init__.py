"""Component 3, context retrieval: exemplars, similar annotated vehicles, correct the decoder."""
