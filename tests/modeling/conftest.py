import pytest
import torch
from segment_anything import sam_model_registry

from sav.d2 import BitMasks, Boxes, Instances, build_model
from sav.modeling.meta_arch import SAV

from ..tiny import SIZE, tiny_config
from .toy_sam import TOY, build_toy_sam


@pytest.fixture
def cfg():
    return tiny_config()


@pytest.fixture
def model(cfg):
    model = build_model(cfg)
    assert isinstance(model, SAV)
    return model


@pytest.fixture
def make_input():
    """A random photo with a body, two wheels and a left front door."""

    def make(key="car/0", seed=0, height=SIZE, width=SIZE):
        generator = torch.Generator().manual_seed(seed)
        masks = torch.zeros(4, SIZE, SIZE, dtype=torch.bool)
        masks[0, 10:50, 4:60] = True
        masks[1, 44:56, 8:20] = True
        masks[2, 44:56, 40:52] = True
        masks[3, 20:40, 24:40] = True
        instances = Instances((SIZE, SIZE))
        instances.gt_masks = BitMasks(masks)
        instances.gt_boxes = Boxes(torch.zeros(4, 4))
        instances.gt_classes = torch.tensor([0, 2, 2, 6])
        instances.gt_vehicle_ids = torch.zeros(4, dtype=torch.int64)
        image = torch.randint(0, 256, (3, height, width), generator=generator, dtype=torch.uint8)
        return {
            "image": image,
            "height": 2 * height,
            "width": 2 * width,
            "gallery_key": key,
            "seed": seed,
            "instances": instances,
        }

    return make


@pytest.fixture(scope="session")
def official(tmp_path_factory):
    """A toy SAM with random weights, and its checkpoint in the official format."""
    torch.manual_seed(1)
    sam = build_toy_sam()
    for name, parameter in sam.named_parameters():
        if "pos" in name:  # zero at the start, which would hide mistakes
            torch.nn.init.normal_(parameter, std=0.3)
    path = tmp_path_factory.mktemp("sam") / "sam_vit_toy.pth"
    torch.save(sam.state_dict(), path)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sam_model_registry, TOY, build_toy_sam)
        yield sam.eval(), path
