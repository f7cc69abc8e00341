import itertools

import numpy as np
import pytest

from sav.config import load_config
from sav.data.mixture import MixtureSampler
from sav.errors import SAVError


def take(sampler, count):
    return np.array(list(itertools.islice(iter(sampler), count)))


def mixture(**changes):
    settings = {"shares": [(0.25, 0.75), (0.75, 0.25)], "length": 800, "seed": 3, **changes}
    return MixtureSampler([6, 40], **settings)


def test_shares_change_evenly_and_stay_at_the_end():
    stream = take(mixture(), 1200)
    own = (stream < 6).reshape(-1, 100).mean(1)
    assert np.allclose(own[:8], np.linspace(0.25, 0.75, 17)[1::2], atol=0.011)
    assert np.allclose(own[8:], 0.75, atol=0.011)


def test_every_batch_is_mixed():
    batches = take(mixture(shares=[(0.5, 0.5), (0.5, 0.5)]), 320).reshape(-1, 16)
    assert ((batches < 6).sum(1) == 8).all()


def test_a_data_set_comes_in_one_permutation_after_another():
    stream = take(mixture(), 400)
    own = stream[stream < 6]
    for start in range(0, len(own) - 5, 6):
        assert sorted(own[start : start + 6]) == list(range(6))
    others = stream[stream >= 6]
    assert sorted(others[:40]) == list(range(6, 46))
    assert (others[:40] != np.arange(6, 46)).any()


def test_the_seed_decides():
    assert (take(mixture(), 100) == take(mixture(), 100)).all()
    assert (take(mixture(), 100) != take(mixture(seed=4), 100)).any()


def test_processes_take_turns(monkeypatch):
    whole = take(mixture(), 60)
    monkeypatch.setattr("sav.d2.comm.get_world_size", lambda: 3)
    for rank in range(3):
        monkeypatch.setattr("sav.d2.comm.get_rank", lambda rank=rank: rank)
        assert (take(mixture(), 20) == whole[rank::3]).all()


@pytest.fixture
def cfg(tmp_path):
    (tmp_path / "my.yaml").write_text("DATASETS: {TRAIN: [mine, others]}\nSEED: 3\n")
    return load_config(tmp_path / "my.yaml")


def test_as_the_config_says(cfg):
    cfg.DATASETS.TRAIN_SHARES = ((0.2, 0.8), (0.8, 0.2))
    sampler = MixtureSampler.from_config(cfg, [6, 40])
    assert sampler.length == cfg.SOLVER.MAX_ITER * cfg.SOLVER.IMS_PER_BATCH
    assert sampler.seed == 3
    assert np.array_equal(sampler.shares, [(0.2, 0.8), (0.8, 0.2)])


@pytest.mark.parametrize(
    ("shares", "sizes", "words"),
    [
        (((0.5, 0.5),), [6, 40], "a pair for each of mine, others"),
        ((0.5, 0.5), [6, 40], "a pair for each of mine, others"),
        ((("a", 1), (0, 1)), [6, 40], "a pair for each of mine, others"),
        (((0.5, 0.5), (0.5, 0.6)), [6, 40], "1 together"),
        (((-0.5, 0.5), (1.5, 0.5)), [6, 40], "0 or more"),
        (((0.5, 0.5), (0.5, 0.5)), [6, 0], "'others' has no photo"),
    ],
)
def test_shares_that_do_not_fit_are_one_clear_line(cfg, shares, sizes, words):
    cfg.DATASETS.TRAIN_SHARES = shares
    with pytest.raises(SAVError, match=f"^DATASETS.TRAIN_SHARES: .*{words}"):
        MixtureSampler.from_config(cfg, sizes)
