from sav.doctor.data import check_data
from sav.doctor.item import Status


def by_name(items):
    return {item.name: item for item in items}


def test_annotation_files_and_the_data_sets_of_a_run_are_found(tmp_path, monkeypatch):
    monkeypatch.setenv("SAV_DATASETS", str(tmp_path / "sets"))
    for file in ("sets/mine/instances_train.json", "sets/other/coco/instances_valid.json"):
        (tmp_path / file).parent.mkdir(parents=True)
        (tmp_path / file).write_text("{}")
    parts = "{here: mine/instances_train.json, gone: mine/instances_test.json}"
    config = f"DATASETS:\n  ROOT: {tmp_path / 'sets'}\n  PARTS: {parts}\n"
    (tmp_path / "config.yaml").write_text(config)
    assert {"mine/instances_train.json", "other/coco/instances_valid.json"} < by_name(
        check_data([])
    ).keys()
    items = by_name(check_data([tmp_path]))
    assert items.keys() == {"folder", "here", "other/coco/instances_valid.json", "not here"}
    assert items["not here"].value.endswith("gone")
    assert all(item.status is not Status.WRONG for item in items.values())


def test_a_folder_that_is_named_must_be_there(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SAV_DATASETS", raising=False)
    assert [item.status for item in check_data([])] == [Status.ABSENT]
    monkeypatch.setenv("SAV_DATASETS", "nowhere")
    (item,) = check_data([])
    assert item.status is Status.WRONG
    assert item.mend.startswith("set SAV_DATASETS")
