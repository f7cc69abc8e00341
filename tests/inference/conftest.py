import numpy as np
import pytest
import torch
from PIL import Image

from sav.d2 import BitMasks, Boxes, Instances, build_model
from sav.inference.predictor import SAVPredictor
from sav.modeling import SAV
from sav.modeling.weights import save_weights
from sav.retrieval import Gallery

from ..tiny import SIZE, tiny_config


def make_photo(height=48, width=80, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def annotated(key):
    instances = Instances((SIZE, SIZE))
    masks = torch.zeros(2, SIZE, SIZE, dtype=torch.bool)
    masks[0, 8:50, 4:60] = True
    masks[1, 40:56, 10:20] = True
    instances.gt_masks = BitMasks(masks)
    instances.gt_boxes = Boxes(torch.tensor([[4.0, 8, 60, 50], [10, 40, 20, 56]]))
    instances.gt_classes = torch.tensor([0, 2])
    instances.gt_vehicle_ids = torch.zeros(2, dtype=torch.int64)
    image = torch.from_numpy(make_photo(SIZE, SIZE)).permute(2, 0, 1)
    return {"image": image, "instances": instances, "gallery_key": key}


@pytest.fixture(scope="session")
def run_folder(tmp_path_factory):
    """What a finished training leaves, with weights that never saw a vehicle."""
    folder = tmp_path_factory.mktemp("run")
    cfg = tiny_config()
    torch.manual_seed(0)
    model = build_model(cfg).eval()
    assert isinstance(model, SAV)
    save_weights(model, folder / "model_final.safetensors")
    (folder / "config.yaml").write_text(cfg.dump())
    gallery = Gallery(model.gallery_fingerprint())
    gallery.add_views([[model.gallery_views([annotated("a/1"), annotated("a/2")])]])
    gallery.save(folder / "gallery")
    return folder


@pytest.fixture(scope="session")
def predictor(run_folder):
    return SAVPredictor.from_pretrained(run_folder, "cpu")


@pytest.fixture
def photo():
    """Makes photos, (H, W, 3) uint8, of noise."""
    return make_photo


@pytest.fixture
def photos(tmp_path):
    """A folder of two photos of different sizes."""
    folder = tmp_path / "photos"
    folder.mkdir()
    Image.fromarray(make_photo(48, 80, 1)).save(folder / "one.png")
    Image.fromarray(make_photo(90, 60, 2)).save(folder / "two.jpg")
    return folder
