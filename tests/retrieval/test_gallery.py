import json

import pytest
import torch
from torch.nn import functional as F

from sav.errors import SAVError
from sav.retrieval import Gallery, GalleryEntries, Photo, search

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
    gallery.update([Photo(f"car/{i}") for i in range(count)], entries(count))
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
    photos = list(gallery.photos)
    with_self, _ = gallery.search(stored, 3, [None] * len(photos))
    assert torch.equal(with_self[:, 0], torch.arange(len(photos)))
    rows, _ = gallery.search(stored, 3, photos)
    assert (rows != torch.arange(len(photos))[:, None]).all()
    assert torch.equal(rows[:, :2], with_self[:, 1:])


def test_excluded_key_is_not_used_up_when_far_away():
    gallery = filled(4)
    query = gallery.entries.descriptors[:1]
    every, _ = gallery.search(query, 4, [None])
    farthest = gallery.photos[int(every[0, -1])]
    rows, _ = gallery.search(query, 3, [farthest])
    assert torch.equal(rows, every[:, :3])


def test_a_gallery_of_only_oneself_lends_nothing():
    gallery = filled(1)
    assert gallery.neighbours(gallery.entries.descriptors, 4, list(gallery.photos)) is None


@pytest.mark.parametrize("count", [0, 1, 5, 32])
def test_any_number_of_neighbours(count):
    gallery = filled(7)
    rows, _ = gallery.search(entries(2, seed=2).descriptors, count, [None, Photo("car/1")])
    assert rows.shape == (2, count)
    assert (rows[0] >= 0).sum() == min(count, 7)
    assert (rows[1] >= 0).sum() == min(count, 6)


def test_missing_neighbours_are_not_present():
    gallery = filled(2)
    lent = gallery.neighbours(entries(1, seed=3).descriptors, 5, [Photo("car/0")])
    assert lent.present.shape == (1, 5, C)
    assert torch.equal(lent.present[0, 0], entries(2).present[1])
    assert not lent.present[0, 1:].any()


def test_update_replaces_rows_of_known_keys():
    gallery = filled(20)
    fresh = entries(1, seed=9)
    gallery.update([Photo("car/7")], fresh)
    assert len(gallery) == 20
    assert torch.equal(gallery.entries.descriptors[7], fresh.descriptors[0])
    assert torch.equal(gallery.entries.descriptors[8], entries(20).descriptors[8])


def test_row_by_row_equals_all_at_once():
    gallery, whole = Gallery({}), entries(20)
    for i in range(20):
        one = GalleryEntries(**{k: v[i : i + 1] for k, v in whole.tensors().items()})
        gallery.update([Photo(f"car/{i}")], one)
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


def grouped():
    """Three groups of five, and five photos of which each has a copy."""
    gallery = Gallery({})
    photos = [Photo(f"car/{i}", group=f"claim {i % 3}") for i in range(15)]
    photos += [Photo(f"copy/{i}", hash=7919 * 2 ** (4 * (i % 5))) for i in range(10)]
    gallery.update(photos, entries(25))
    return gallery


def test_group_mates_and_copies_are_no_neighbours():
    gallery = grouped()
    photos = list(gallery.photos)
    rows, _ = gallery.search(gallery.entries.descriptors, 25, photos)
    for photo, found in zip(photos, rows.tolist(), strict=True):
        others = [gallery.photos[row] for row in found if row >= 0]
        assert photo not in others
        if photo.group is not None:
            assert len(others) == 20
            assert all(other.group != photo.group for other in others)
        else:
            assert len(others) == 23
            assert all(other.hash != photo.hash for other in others)


def test_neighbours_are_found_behind_any_number_of_group_mates():
    gallery = Gallery({})
    known = entries(400)
    known.descriptors[:] = known.descriptors[:1]
    known.descriptors[-1] *= -1
    photos = [Photo(f"video/{i}", group="video") for i in range(399)] + [Photo("other/1")]
    gallery.update(photos, known)
    rows, similarities = gallery.search(known.descriptors[:2], 3, [photos[0], None])
    assert rows[0].tolist() == [399, -1, -1]
    assert torch.allclose(similarities[0], torch.tensor([-1.0, -1, -1]))
    assert (rows[1] >= 0).all()


@pytest.fixture
def low_thresholds(monkeypatch):
    monkeypatch.setattr(search, "IVF_FROM", 500)


def large(groups=10):
    gallery = Gallery({"ontology": "test"})
    photos = [Photo(f"car/{i}", group=str(i % groups)) for i in range(2000)]
    gallery.update(photos, entries(2000))
    gallery.settle()
    return gallery


def test_an_approximate_index_never_returns_what_is_excluded(low_thresholds):
    gallery = large(groups=2)
    assert gallery.search_method.startswith("IVF")
    photos = list(gallery.photos)[:50]
    rows, _ = gallery.search(gallery.entries.descriptors[:50], 6, photos)
    assert (rows >= 0).all()
    for photo, found in zip(photos, rows.tolist(), strict=True):
        assert all(gallery.photos[row].group != photo.group for row in found)


def test_an_approximate_index_is_made_for_what_no_longer_changes(low_thresholds):
    gallery = large()
    queries = entries(20, seed=1).descriptors
    approximate, _ = gallery.search(queries, 5, [None] * 20)
    gallery.update([Photo("car/0", group="0")], entries(1))
    assert gallery.search_method == "exact"
    exact, _ = gallery.search(queries, 5, [None] * 20)
    assert (exact == approximate).float().mean() > 0.9
    few = filled()
    few.settle()
    assert few.search_method == "exact"


def test_the_index_is_saved_and_never_outlives_its_gallery(low_thresholds, tmp_path):
    gallery = large()
    gallery.save(tmp_path)
    queries = entries(20, seed=1).descriptors
    expected = gallery.search(queries, 5, [None] * 20)
    loaded = Gallery.load(tmp_path)
    assert loaded.search_method == "IVF176,Flat"
    assert torch.equal(loaded.search(queries, 5, [None] * 20)[0], expected[0])
    (tmp_path / "gallery.faiss").unlink()
    assert Gallery.load(tmp_path).search_method == gallery.search_method
    gallery.save(tmp_path)
    filled().save(tmp_path)
    assert not (tmp_path / "gallery.faiss").exists()
    gallery.save(tmp_path)
    (tmp_path / "gallery.faiss").write_bytes(b"broken")
    with pytest.raises(SAVError, match="gallery cannot be read"):
        Gallery.load(tmp_path)


def test_a_gallery_of_an_older_layout_is_refused(tmp_path):
    filled().save(tmp_path)
    contents = json.loads((tmp_path / "gallery.json").read_text())
    del contents["layout"]
    (tmp_path / "gallery.json").write_text(json.dumps(contents))
    with pytest.raises(SAVError, match=r"another version .*build it again"):
        Gallery.load(tmp_path)


def test_a_checkpoint_of_an_older_layout_is_refused():
    state = filled().state_dict()
    del state["hashes"]
    with pytest.raises(SAVError, match="another version"):
        Gallery({}).load_state_dict(state)


def test_photos_and_sources_survive_saving_and_checkpoints(tmp_path):
    gallery = grouped()
    gallery.sources["car"] = {"file": "car.json", "digest": "12", "vehicles": 15}
    gallery.save(tmp_path / "gallery")
    loaded = Gallery.load(tmp_path / "gallery")
    assert list(loaded.photos) == list(gallery.photos)
    assert loaded.sources == gallery.sources
    torch.save(gallery.state_dict(), tmp_path / "checkpoint.pth")
    resumed = Gallery({})
    resumed.load_state_dict(torch.load(tmp_path / "checkpoint.pth", weights_only=True))
    assert list(resumed.photos) == list(gallery.photos)


def test_a_data_set_can_be_taken_out():
    gallery = grouped()
    gallery.sources = {"car": {}, "copy": {}}
    kept = gallery.entries.select(torch.arange(15, 25))
    assert gallery.remove_source("car") == 15
    assert gallery.keys == [f"copy/{i}" for i in range(10)]
    assert torch.equal(gallery.entries.descriptors, kept.descriptors)
    assert list(gallery.sources) == ["copy"]
    assert gallery.remove_source("car") == 0
    assert gallery.remove_source("copy") == 10
    assert (len(gallery), gallery.entries) == (0, None)
