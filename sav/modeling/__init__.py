"""The model, a component a folder: ``sam`` and ``encoders``, ``graph``, ``context``."""
