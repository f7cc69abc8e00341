import pytest
import torch

from sav.d2 import DatasetCatalog, MetadataCatalog

pytest_plugins = [
    "tests.fixtures.model",
    "tests.fixtures.run_folder",
    "tests.fixtures.vehicleseg_folder",
]


@pytest.fixture(autouse=True)
def _one_thread_and_seed():
    torch.set_num_threads(1)
    torch.manual_seed(0)


@pytest.fixture
def catalogs_as_before():
    """Each command runs in a process of its own; tests of commands share the catalogs."""
    before = set(DatasetCatalog.list())
    yield
    for name in set(DatasetCatalog.list()) - before:
        DatasetCatalog.remove(name)
        MetadataCatalog.remove(name)
