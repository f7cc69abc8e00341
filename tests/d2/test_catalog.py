import pytest

from sav.d2 import DatasetCatalog, MetadataCatalog


def test_names_are_registered_once():
    DatasetCatalog.register("once", lambda: [{"image_id": 1}])
    try:
        assert "once" in DatasetCatalog.list()
        assert DatasetCatalog.get("once") == [{"image_id": 1}]
        with pytest.raises(AssertionError, match="once"):
            DatasetCatalog.register("once", list)
    finally:
        DatasetCatalog.remove("once")
    with pytest.raises(KeyError, match="once"):
        DatasetCatalog.get("once")
    with pytest.raises(AssertionError):
        DatasetCatalog.register("no function", [])


def test_metadata_is_set_once():
    metadata = MetadataCatalog.get("facts")
    try:
        metadata.set(thing_classes=["a"], json_file="x.json")
        metadata.thing_classes = ["a"]
        assert MetadataCatalog.get("facts").thing_classes == ["a"]
        assert metadata.get("absent", 3) == 3
        assert metadata.name == "facts"
        with pytest.raises(AssertionError, match="thing_classes"):
            metadata.thing_classes = ["b"]
        with pytest.raises(AttributeError, match="absent"):
            _ = metadata.absent
        assert metadata.get("json_file") == "x.json"
    finally:
        MetadataCatalog.remove("facts")
