"""Using a trained model on photos and videos."""
