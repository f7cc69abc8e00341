"""Part metrics, the sheet of predictions, and the results of a run."""
