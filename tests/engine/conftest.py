import pytest

from .toy import CONFIG, draw, run


@pytest.fixture(scope="session")
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp("datasets")
    draw(root / "toy", "train", 8)
    draw(root / "toy", "valid", 3)
    (root / "toy.yaml").write_text(CONFIG)
    return root


@pytest.fixture(scope="session")
def finished(root, tmp_path_factory):
    output = tmp_path_factory.mktemp("run")
    run(root, output)
    return output
