"""What SECURITY.md promises, where no other test shows it."""

import pickle
from pathlib import Path

import pytest
import torch

from sav.config import load_config
from sav.d2 import build_model
from sav.errors import SAVError
from sav.modeling.sam.checkpoint import read_sam_checkpoint
from sav.modeling.weights import load_weights
from sav.ontology import load_ontology
from tests.tiny import tiny_config


class Touch:
    """Pickled, an order to make a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


@pytest.fixture
def trace(tmp_path):
    return tmp_path / "trace"


def yaml_that_makes(trace):
    return f"!!python/object/apply:subprocess.call [[touch, {trace}]]"


def test_the_traps_work(trace):
    pickle.loads(pickle.dumps(Touch(trace)))
    assert trace.exists()


def test_configs_run_no_code(tmp_path, trace):
    (tmp_path / "base.yaml").write_text(f"OUTPUT_DIR: {yaml_that_makes(trace)}")
    (tmp_path / "config.yaml").write_text("_BASE_: base.yaml")
    for name in ("base.yaml", "config.yaml"):
        with pytest.raises(SAVError, match=name):
            load_config(tmp_path / name)
    assert not trace.exists()


def test_vocabularies_run_no_code(tmp_path, trace):
    (tmp_path / "parts.yaml").write_text(f"name: {yaml_that_makes(trace)}")
    with pytest.raises(SAVError, match=r"parts\.yaml"):
        load_ontology(tmp_path / "parts.yaml")
    assert not trace.exists()


def test_weights_run_no_code(tmp_path, trace):
    path = tmp_path / "weights.pth"
    torch.save({"model": {"weight": Touch(trace)}}, path)
    with pytest.raises(SAVError, match=r"weights\.pth"):
        read_sam_checkpoint(str(path))
    with pytest.raises(SAVError, match=r"weights\.pth"):
        load_weights(build_model(tiny_config()), path)
    assert not trace.exists()
