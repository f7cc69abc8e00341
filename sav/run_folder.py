"""The files of a run folder."""

from __future__ import annotations

from pathlib import Path

CONFIG_FILE = "config.yaml"
WEIGHTS_FILE = "model_final.safetensors"
GALLERY_FOLDER = "gallery"
RESULTS_FILE = "results.json"

SHIPPED = Path(__file__).parent / "pretrained"
"""The run folder that comes with the package: made on synthetic vehicles, see docs/training.md."""
