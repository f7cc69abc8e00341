import json
import math

import numpy as np
import pytest

from sav.errors import SAVError
from sav.evaluation.results import format_results_table, write_results
from sav.files import atomic_path
from sav.ontology import load_ontology

RESULTS = {
    "made_up_valid": {
        "vehicles": {"F1": 98.76, "PQ": math.nan},
        "parts": {"mIoU": 61.23456789, "IoU-Wheel": np.float64(70), "IoU-Plate": math.nan},
        "segm": {"AP": 30.5, "AP50": 60.0, "AP-Wheel": math.nan},
        "bbox": {"AP": 31.0},
        "calibration": {"ECE": 12.5, "precision@0.3": 80.0, "recall@0.3": math.nan},
    }
}


def test_results_are_strict_json_in_the_order_of_the_contract(tmp_path):
    path = tmp_path / "deep" / "results.json"
    write_results(path, RESULTS)

    def refuse(constant):
        raise AssertionError(constant)

    read = json.loads(path.read_text(), parse_constant=refuse)
    assert list(read["made_up_valid"]) == ["bbox", "segm", "parts", "vehicles", "calibration"]
    assert list(read["made_up_valid"]["segm"]) == ["AP", "AP50", "AP-Wheel"]
    assert read["made_up_valid"]["parts"] == {
        "mIoU": 61.2346,
        "IoU-Wheel": 70.0,
        "IoU-Plate": None,
    }
    assert read["made_up_valid"]["vehicles"] == {"F1": 98.76, "PQ": None}
    assert [p.name for p in path.parent.iterdir()] == ["results.json"]


def test_failure_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "results.json"
    path.write_text("old")
    with pytest.raises(RuntimeError), atomic_path(path) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_unwritable_folder_is_one_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(SAVError, match="cannot be written"):
        write_results(tmp_path / "file" / "results.json", RESULTS)


def test_table_has_the_figures_and_a_dash_for_the_undefined():
    table = format_results_table(
        RESULTS, dict.fromkeys(RESULTS, load_ontology("vehicleseg10k").class_names)
    )
    lines = table.splitlines()
    assert lines[0].split() == ["made_up_valid"]
    figures = {" ".join(words[:-1]): words[-1] for words in map(str.split, lines) if words}
    shown = ("mIoU", "mask AP", "vehicle F1", "vehicle PQ", "ECE", "recall@0.3")
    assert [figures[name] for name in shown] == ["61.2", "30.5", "98.8", "-", "12.5", "-"]
    wheel = next(line for line in lines if line.startswith("Wheel"))
    assert wheel.split() == ["Wheel", "70.0", "-", "-"]
