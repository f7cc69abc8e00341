import pytest
import torch

from sav.device import check_device
from sav.errors import SAVError


def test_devices_that_are_here_are_taken():
    assert check_device("cpu") == check_device(torch.device("cpu")) == "cpu"
    assert check_device(None) == ("cuda" if torch.cuda.is_available() else "cpu")


@pytest.mark.parametrize("name", ["gpu", "", "cuda:x", "meta", "cuda:99", "cpu:3", "xpu"])
def test_others_are_refused_in_one_line(name):
    with pytest.raises(SAVError, match=rf"^--device {name}: [^\n]*; say |not known"):
        check_device(name, "--device")


@pytest.mark.parametrize("kind", ["cuda", "mps"])
def test_gpus_that_are_not_here_are_refused(kind):
    if (torch.cuda if kind == "cuda" else torch.mps).device_count():
        pytest.skip("there is one here")
    with pytest.raises(SAVError, match=rf"MODEL.DEVICE {kind}: no GPU .*; say MODEL.DEVICE cpu"):
        check_device(kind, "MODEL.DEVICE")
