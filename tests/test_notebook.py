"""The notebook of docs/ runs, and is kept without its outputs."""

import json
from pathlib import Path

import pytest

NOTEBOOKS = sorted((Path(__file__).parents[1] / "docs" / "notebooks").glob("*.ipynb"))


@pytest.fixture(params=NOTEBOOKS, ids=lambda file: file.stem)
def code_cells(request):
    cells = json.loads(request.param.read_text("utf-8"))["cells"]
    return [cell for cell in cells if cell["cell_type"] == "code"]


def test_outputs_are_not_kept(code_cells):
    for cell in code_cells:
        assert cell["outputs"] == []
        assert cell["execution_count"] is None


def test_cells_run_one_after_the_other(code_cells, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = {}
    for cell in code_cells:
        source = "".join(cell["source"])
        exec(compile(source, f"cell {cell['id']}", "exec"), names)
    printed = capsys.readouterr().out
    assert "vehicle 0  hood" in printed
    assert "front_left_door" in printed
    left, right = names["sides"](names["parts"]), names["sides"](names["in_the_mirror"])
    assert left["left"] > left["right"]
    assert right["right"] > right["left"]
    assert not list(tmp_path.iterdir())
