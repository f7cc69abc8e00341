import json

import pytest
import torch

from sav.errors import SAVError
from sav.gallery.exemplars import Exemplars
from sav.gallery.files import load_gallery, save_gallery
from sav.gallery.store import Gallery
from sav.gallery.vehicles import Photo, Vehicle
from tests.gallery.galleries import exemplars, filled, grouped


def test_update_replaces_rows_of_known_keys():
    gallery = filled(20)
    fresh = exemplars(1, seed=9)
    gallery.update([Vehicle(Photo("car/7"))], fresh)
    assert len(gallery) == 20
    assert torch.equal(gallery.exemplars.keys[7], fresh.keys[0])
    assert torch.equal(gallery.exemplars.keys[8], exemplars(20).keys[8])


def test_row_by_row_equals_all_at_once():
    gallery, whole = Gallery({}), exemplars(20)
    for i in range(20):
        one = Exemplars(**{k: v[i : i + 1] for k, v in whole.tensors().items()})
        gallery.update([Vehicle(Photo(f"car/{i}"))], one)
    for name, value in filled().exemplars.tensors().items():
        assert torch.equal(value, gallery.exemplars.tensors()[name])


def test_save_and_load(tmp_path):
    gallery = filled()
    save_gallery(gallery, tmp_path / "gallery")
    loaded = load_gallery(tmp_path / "gallery")
    assert loaded.vehicles.photo_ids == gallery.vehicles.photo_ids
    assert loaded.fingerprint == gallery.fingerprint
    for name, value in gallery.exemplars.tensors().items():
        assert torch.equal(value, loaded.exemplars.tensors()[name])


def test_an_empty_gallery_survives_saving(tmp_path):
    save_gallery(Gallery({"a": 1}), tmp_path)
    assert len(load_gallery(tmp_path)) == 0


def test_state_dict_round_trip():
    gallery, other = filled(), Gallery({})
    other.load_state_dict(gallery.state_dict())
    queries = exemplars(3, seed=4).keys
    assert torch.equal(
        gallery.search(queries, 3, [None] * 3)[0], other.search(queries, 3, [None] * 3)[0]
    )


@pytest.mark.parametrize("damage", ["missing", "truncated", "not json", "other json"])
def test_a_broken_gallery_is_one_clear_error(tmp_path, damage):
    save_gallery(filled(), tmp_path)
    if damage == "missing":
        (tmp_path / "gallery.safetensors").unlink()
    elif damage == "truncated":
        data = (tmp_path / "gallery.safetensors").read_bytes()
        (tmp_path / "gallery.safetensors").write_bytes(data[:100])
    elif damage == "not json":
        (tmp_path / "gallery.json").write_text("{")
    else:
        (tmp_path / "gallery.json").write_text(json.dumps({"keys": []}))
    with pytest.raises(SAVError, match="gallery cannot be read"):
        load_gallery(tmp_path)


def test_a_stale_gallery_is_refused():
    gallery = filled()
    gallery.check_fingerprint({"ontology": "test"}, "here")
    with pytest.raises(SAVError, match="weights 'abc'"):
        gallery.check_fingerprint({"weights": "def"}, "here")


def test_a_gallery_of_an_older_layout_is_refused(tmp_path):
    save_gallery(filled(), tmp_path)
    contents = json.loads((tmp_path / "gallery.json").read_text())
    contents["version"] = 4
    (tmp_path / "gallery.json").write_text(json.dumps(contents))
    with pytest.raises(SAVError, match=r"another version .*build it again"):
        load_gallery(tmp_path)


def test_a_checkpoint_of_an_older_layout_is_refused():
    state = filled().state_dict()
    del state["hashes"]
    with pytest.raises(SAVError, match="another version"):
        Gallery({}).load_state_dict(state)


def test_photos_and_sources_survive_saving_and_checkpoints(tmp_path):
    gallery = grouped()
    gallery.sources["car"] = {"file": "car.json", "digest": "12", "vehicles": 15}
    save_gallery(gallery, tmp_path / "gallery")
    loaded = load_gallery(tmp_path / "gallery")
    assert list(loaded.vehicles) == list(gallery.vehicles)
    assert loaded.sources == gallery.sources
    torch.save(gallery.state_dict(), tmp_path / "checkpoint.pth")
    resumed = Gallery({})
    resumed.load_state_dict(torch.load(tmp_path / "checkpoint.pth", weights_only=True))
    assert list(resumed.vehicles) == list(gallery.vehicles)


def test_a_data_set_can_be_taken_out():
    gallery = grouped()
    gallery.sources = {"car": {}, "copy": {}}
    kept = gallery.exemplars.select(torch.arange(15, 25))
    assert gallery.remove_source("car") == 15
    assert gallery.vehicles.photo_ids == [f"copy/{i}" for i in range(10)]
    assert torch.equal(gallery.exemplars.keys, kept.keys)
    assert list(gallery.sources) == ["copy"]
    assert gallery.remove_source("car") == 0
    assert gallery.remove_source("copy") == 10
    assert (len(gallery), gallery.exemplars) == (0, None)
