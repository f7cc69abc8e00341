"""A web page and an HTTP API for prediction: ``sav serve``."""
