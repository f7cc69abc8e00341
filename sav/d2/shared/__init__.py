"""Ours on both engines: what Detectron2 lacks or gets wrong.

A thing belongs here when the built-in engine and the subclasses of the installed Detectron2 both
need it, so that runs of the two have the same files, errors and order of images. Nothing here
imports either engine: configs and trainers are used by their attributes, and processes are counted
by torch.distributed itself.
"""
