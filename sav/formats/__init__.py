"""Readers and writers of images, masks and annotation formats, each alone."""
