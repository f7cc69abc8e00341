import pytest
import torch
from segment_anything import sam_model_registry

from .toy_sam import TOY, build_toy_sam


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
