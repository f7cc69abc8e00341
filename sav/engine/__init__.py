"""Trainer, hooks and runs."""
