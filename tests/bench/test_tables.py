from sav.bench.tables import compare, spread


def figures(miou, ap):
    return {"mIoU": miou, "mask AP": ap, "AP50": 1.0, "side confusion": None}


def cells(table, row):
    line = next(line for line in table.splitlines() if line.startswith(f"| {row} "))
    return [cell.strip() for cell in line.split("|")[2:-1]]


def test_mean_and_sample_standard_deviation():
    assert spread([1.0, 2.0, 6.0]) == "3.0 ± 2.6"
    assert spread([4.25], sign="+") == "+4.2"
    assert spread([-1.0, -2.0], sign="+") == "-1.5 ± 0.7"
    assert spread([None, 3.0, 5.0]) == "4.0 ± 1.4"
    assert spread([None]) == "-"


def test_differences_are_run_by_run():
    # The runs differ by 20, the variants within each by exactly 1.
    rows = {
        "full": {"seed0": figures(50.0, 10.0), "seed1": figures(70.0, 30.0)},
        "less": {"seed0": figures(49.0, 12.0), "seed1": figures(69.0, None)},
    }
    table = compare("variant", rows, "full")
    assert cells(table, "full") == ["60.0 ± 14.1", "20.0 ± 14.1", "1.0 ± 0.0", "-", "", ""]
    assert cells(table, "less") == [
        "59.0 ± 14.1", "12.0", "1.0 ± 0.0", "-", "-1.0 ± 0.0", "+2.0",
    ]  # fmt: skip
    assert "over 2 runs" in table
