import numpy as np
import pytest

from sav.retrieval import search
from sav.retrieval.search import DescriptorIndex, exact_search, index_recipe


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
    assert DescriptorIndex.build(unit(50)) is None


@pytest.mark.parametrize("recipe", ["IVF32,Flat", "HNSW32,Flat", "Flat"])
def test_an_index_finds_nearly_what_exact_search_finds(recipe, tmp_path):
    vectors, queries = unit(3000), unit(40, seed=1)
    products, rows = exact_search(vectors, queries, 5)
    assert np.allclose(products[:, 0], (queries @ vectors.T).max(1), atol=1e-5)
    index = DescriptorIndex.build(vectors, recipe)
    assert len(index) == 3000
    _, found = index.search(queries, 5)
    assert np.mean([len(set(a) & set(b)) / 5 for a, b in zip(found, rows, strict=True)]) > 0.95
    index.save(tmp_path / "index.faiss")
    again = DescriptorIndex.read(tmp_path / "index.faiss", recipe)
    assert np.array_equal(again.search(queries, 5)[1], found)
