import numpy as np
import pytest
import torch

from sav.errors import SAVError
from sav.gallery import search
from sav.gallery.files import load_gallery, save_gallery
from sav.gallery.photos import Photo
from sav.gallery.search import KeyIndex, exact_search, index_recipe
from sav.gallery.store import Gallery
from sav.gallery.vehicles import Vehicle
from tests.gallery.galleries import exemplars, filled


def unit(count, seed=0, dim=16):
    centres = np.random.default_rng(0).standard_normal((20, dim))
    draw = np.random.default_rng(seed)
    found = centres[draw.integers(20, size=count)] + 0.5 * draw.standard_normal((count, dim))
    return (found / np.linalg.norm(found, axis=1, keepdims=True)).astype(np.float32)


def test_the_kind_of_index_follows_the_size():
    assert index_recipe(search.IVF_FROM - 1) is None
    assert index_recipe(search.IVF_FROM) == "IVF1264,Flat"
    assert index_recipe(search.HNSW_FROM).startswith("HNSW")
    assert index_recipe(1000, gpu=True) is None
    assert index_recipe(search.IVF_FROM, gpu=True) == "Flat"
    assert index_recipe(search.HNSW_FROM, gpu=True).startswith("IVF")
    assert KeyIndex.build(unit(50)) is None


@pytest.mark.parametrize("recipe", ["IVF32,Flat", "HNSW32,Flat", "Flat"])
def test_an_index_finds_nearly_what_exact_search_finds(recipe, tmp_path):
    vectors, queries = unit(3000), unit(40, seed=1)
    products, rows = exact_search(vectors, queries, 5)
    assert np.allclose(products[:, 0], (queries @ vectors.T).max(1), atol=1e-5)
    index = KeyIndex.build(vectors, recipe)
    assert len(index) == 3000
    _, found = index.search(queries, 5)
    assert np.mean([len(set(a) & set(b)) / 5 for a, b in zip(found, rows, strict=True)]) > 0.95
    index.save(tmp_path / "index.faiss")
    again = KeyIndex.read(tmp_path / "index.faiss", recipe)
    assert np.array_equal(again.search(queries, 5)[1], found)


@pytest.fixture
def low_thresholds(monkeypatch):
    monkeypatch.setattr(search, "IVF_FROM", 500)


def large(groups=10):
    gallery = Gallery({"ontology": "test"})
    photos = [Photo(f"car/{i}", group=str(i % groups)) for i in range(2000)]
    gallery.update([*map(Vehicle, photos)], exemplars(2000))
    gallery.build_index()
    return gallery


def test_an_approximate_index_never_returns_what_is_excluded(low_thresholds):
    gallery = large(groups=2)
    assert gallery.search_method.startswith("IVF")
    photos = [vehicle.photo for vehicle in gallery.vehicles][:50]
    rows, _ = gallery.search(gallery.exemplars.keys[:50], 6, photos)
    assert (rows >= 0).all()
    for photo, found in zip(photos, rows.tolist(), strict=True):
        assert all(gallery.vehicles[row].photo.group != photo.group for row in found)


def test_an_approximate_index_is_made_for_what_no_longer_changes(low_thresholds):
    gallery = large()
    queries = exemplars(20, seed=1).keys
    approximate, _ = gallery.search(queries, 5, [None] * 20)
    gallery.update([Vehicle(Photo("car/0", group="0"))], exemplars(1))
    assert gallery.search_method == "exact"
    exact, _ = gallery.search(queries, 5, [None] * 20)
    assert (exact == approximate).float().mean() > 0.9
    few = filled()
    few.build_index()
    assert few.search_method == "exact"


def test_the_index_is_saved_and_never_outlives_its_gallery(low_thresholds, tmp_path):
    gallery = large()
    save_gallery(gallery, tmp_path)
    queries = exemplars(20, seed=1).keys
    expected = gallery.search(queries, 5, [None] * 20)
    loaded = load_gallery(tmp_path)
    assert loaded.search_method == "IVF176,Flat"
    assert torch.equal(loaded.search(queries, 5, [None] * 20)[0], expected[0])
    (tmp_path / "gallery.faiss").unlink()
    assert load_gallery(tmp_path).search_method == gallery.search_method
    save_gallery(gallery, tmp_path)
    save_gallery(filled(), tmp_path)
    assert not (tmp_path / "gallery.faiss").exists()
    save_gallery(gallery, tmp_path)
    (tmp_path / "gallery.faiss").write_bytes(b"broken")
    with pytest.raises(SAVError, match="gallery cannot be read"):
        load_gallery(tmp_path)
