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


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport():
    """Names that are not UTF-8, which tests print, cannot be sent from one process to another."""
    report = yield
    report.sections = [
        (title, text.encode("utf-8", "backslashreplace").decode("utf-8"))
        for title, text in report.sections
    ]
    return report
