import json

import pytest
import torch
from torch.nn import functional as F

from sav.errors import SAVError
from sav.retrieval import Gallery, GalleryEntries

C, E, D = 3, 4, 5


def entries(count, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return GalleryEntries(
        descriptors=F.normalize(torch.randn(count, D, generator=generator), dim=1),
        prototypes=torch.randn(count, C, E, generator=generator),
        geometry=torch.rand(count, C, 5, generator=generator),
        present=torch.rand(count, C, generator=generator) > 0.3,
    )


def filled(count=20):
    gallery = Gallery({"ontology": "test", "encoder": "abc"})
    gallery.update([f"car/{i}" for i in range(count)], entries(count))
    return gallery


def test_search_equals_brute_force():
    gallery, queries = filled(), entries(6, seed=1).descriptors
    rows, similarities = gallery.search(queries, 4, [None] * 6)
    expected = (queries @ entries(20).descriptors.T).topk(4)
    assert torch.equal(rows, expected.indices)
    assert torch.allclose(similarities, expected.values, atol=1e-5)


def test_no_image_is_its_own_neighbour():
    gallery = filled()
    stored = gallery.entries.descriptors
    keys = gallery.keys
    with_self, _ = gallery.search(stored, 3, [None] * len(keys))
    assert torch.equal(with_self[:, 0], torch.arange(len(keys)))
    rows, _ = gallery.search(stored, 3, keys)
    assert (rows != torch.arange(len(keys))[:, None]).all()
    assert torch.equal(rows[:, :2], with_self[:, 1:])


def test_excluded_key_is_not_used_up_when_far_away():
    gallery = filled(4)
    query = gallery.entries.descriptors[:1]
    every, _ = gallery.search(query, 4, [None])
    farthest = gallery.keys[int(every[0, -1])]
    rows, _ = gallery.search(query, 3, [farthest])
    assert torch.equal(rows, every[:, :3])


def test_a_gallery_of_only_oneself_lends_nothing():
    gallery = filled(1)
    assert gallery.neighbours(gallery.entries.descriptors, 4, gallery.keys) is None


@pytest.mark.parametrize("count", [0, 1, 5, 32])
def test_any_number_of_neighbours(count):
    gallery = filled(7)
    rows, _ = gallery.search(entries(2, seed=2).descriptors, count, [None, "car/1"])
    assert rows.shape == (2, count)
    assert (rows[0] >= 0).sum() == min(count, 7)
    assert (rows[1] >= 0).sum() == min(count, 6)


def test_missing_neighbours_are_not_present():
    gallery = filled(2)
    lent = gallery.neighbours(entries(1, seed=3).descriptors, 5, ["car/0"])
    assert lent.present.shape == (1, 5, C)
    assert torch.equal(lent.present[0, 0], entries(2).present[1])
    assert not lent.present[0, 1:].any()


def test_update_replaces_rows_of_known_keys():
    gallery = filled(20)
    fresh = entries(1, seed=9)
    gallery.update(["car/7"], fresh)
    assert len(gallery) == 20
    assert torch.equal(gallery.entries.descriptors[7], fresh.descriptors[0])
    assert torch.equal(gallery.entries.descriptors[8], entries(20).descriptors[8])


def test_row_by_row_equals_all_at_once():
    gallery, whole = Gallery({}), entries(20)
    for i in range(20):
        one = GalleryEntries(**{k: v[i : i + 1] for k, v in whole.tensors().items()})
        gallery.update([f"car/{i}"], one)
    for name, value in filled().entries.tensors().items():
        assert torch.equal(value, gallery.entries.tensors()[name])


def test_save_and_load(tmp_path):
    gallery = filled()
    gallery.save(tmp_path / "gallery")
    loaded = Gallery.load(tmp_path / "gallery")
    assert loaded.keys == gallery.keys
    assert loaded.fingerprint == gallery.fingerprint
    for name, value in gallery.entries.tensors().items():
        assert torch.equal(value, loaded.entries.tensors()[name])


def test_an_empty_gallery_survives_saving(tmp_path):
    Gallery({"a": 1}).save(tmp_path)
    assert len(Gallery.load(tmp_path)) == 0


def test_state_dict_round_trip():
    gallery, other = filled(), Gallery({})
    other.load_state_dict(gallery.state_dict())
    queries = entries(3, seed=4).descriptors
    assert torch.equal(
        gallery.search(queries, 3, [None] * 3)[0], other.search(queries, 3, [None] * 3)[0]
    )


@pytest.mark.parametrize("damage", ["missing", "truncated", "not json", "other json"])
def test_a_broken_gallery_is_one_clear_error(tmp_path, damage):
    filled().save(tmp_path)
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
        Gallery.load(tmp_path)


def test_a_stale_gallery_is_refused():
    gallery = filled()
    gallery.check_fingerprint({"ontology": "test"}, "here")
    with pytest.raises(SAVError, match="encoder 'abc'"):
        gallery.check_fingerprint({"encoder": "def"}, "here")
