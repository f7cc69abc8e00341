"""Models for runtimes without torch."""
