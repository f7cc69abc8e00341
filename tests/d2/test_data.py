import itertools
import logging
from contextlib import contextmanager

import numpy as np
import pytest
import torch
import torch.distributed as dist
from torch.testing._internal.distributed.fake_pg import FakeStore

from sav.d2 import (
    DatasetCatalog,
    build_detection_test_loader,
    build_detection_train_loader,
    get_cfg,
)
from sav.errors import SAVError
from sav.process import run_command

RECORDS = [{"image_id": i, "width": 40 + 20 * (i % 2), "height": 50} for i in range(8)]


def take(iterable, count):
    return list(itertools.islice(iterable, count))


def draw(record):
    """A mapper that shows which random numbers it was given."""
    return {**record, "numpy": np.random.rand(), "torch": torch.rand(1).item()}


def data_cfg(*, seed=5, batch=2, workers=0, grouped=False):
    cfg = get_cfg()
    cfg.SEED, cfg.SOLVER.IMS_PER_BATCH = seed, batch
    cfg.DATALOADER.NUM_WORKERS, cfg.DATALOADER.ASPECT_RATIO_GROUPING = workers, grouped
    return cfg


def train_loader(mapper=draw, sampler=None, **settings):
    cfg = data_cfg(**settings)
    return build_detection_train_loader(cfg, mapper=mapper, dataset=RECORDS, sampler=sampler)


def ids(batches):
    return [item["image_id"] for batch in batches for item in batch]


@contextmanager
def process(rank, world_size):
    """Be one process of several, as far as ranks go."""
    dist.init_process_group("fake", store=FakeStore(), rank=rank, world_size=world_size)
    try:
        yield
    finally:
        dist.destroy_process_group()


def test_training_stream_is_endless_permutations_from_the_seed():
    generator = torch.Generator().manual_seed(5)
    expected = [i for _ in range(3) for i in torch.randperm(8, generator=generator).tolist()]
    assert ids(take(train_loader(), 12)) == ids(take(train_loader(), 12)) == expected
    assert expected[:8] != expected[8:16]
    assert ids(take(train_loader(seed=4), 12)) != expected
    with pytest.raises(ValueError, match="0"):
        build_detection_train_loader(data_cfg(), mapper=draw, dataset=[])


def test_a_negative_seed_asks_for_a_random_run():
    first, second = (take(train_loader(seed=-1), 8) for _ in range(2))
    assert ids(first) != ids(second)
    assert sorted(ids(first)[:8]) == list(range(8))


def test_another_sampler_gives_the_order_and_the_seed_the_rest():
    order = [3, 1, 4, 1, 5, 2, 6, 5]
    first, second = (take(train_loader(sampler=order, seed=seed), 4) for seed in (1, 2))
    assert ids(first) == ids(second) == order
    assert first[0][0]["numpy"] != second[0][0]["numpy"]


def test_train_batches_are_lists_of_what_the_mapper_makes():
    for workers in (0, 2):
        batches = take(train_loader(workers=workers), 4)
        assert [len(batch) for batch in batches] == [2] * 4
        assert sorted(ids(batches)) == list(range(8))
        assert {"numpy", "torch", "width"} <= set(batches[0][0])
    assert "numpy" not in RECORDS[0]


def test_randomness_belongs_to_the_place_in_the_stream():
    """The same samples and augmentations, whatever the workers and wherever one starts."""
    whole = take(train_loader(), 6)
    assert take(train_loader(workers=2), 6) == whole
    resumed = train_loader(workers=1)
    resumed.start_at(4)
    assert take(resumed, 2) == whole[4:]
    values = [item["numpy"] for batch in whole for item in batch]
    assert len(set(values)) == len(values)


def test_several_processes_draw_what_one_draws():
    """Process r of n has every n-th sample of the stream, with the same augmentation."""
    samples = [item for batch in take(train_loader(batch=4), 4) for item in batch]
    for rank in range(2):
        with process(rank, 2):
            batches = take(train_loader(batch=4), 4)
        assert [len(batch) for batch in batches] == [2] * 4
        assert [item for batch in batches for item in batch] == samples[rank::2]


def test_a_batch_that_does_not_divide_is_one_clear_line():
    with process(0, 3), pytest.raises(SAVError, match=r"IMS_PER_BATCH 4.*3 processes"):
        train_loader(batch=4)


def test_mapping_in_this_process_leaves_its_randomness_alone():
    torch.manual_seed(0)
    expected = torch.rand(1)
    torch.manual_seed(0)
    take(train_loader(), 2)
    assert torch.rand(1) == expected


def test_aspect_ratio_groups_do_not_mix():
    loader = train_loader(dict, grouped=True)
    whole = take(loader, 6)
    for batch in whole:
        assert len({item["width"] > item["height"] for item in batch}) == 1
    loader.start_at(3)
    assert take(loader, 3) == whole[3:]


@pytest.fixture
def registered():
    """Registers records under a name."""
    names = []

    def register(records):
        names.append(f"records {len(names)}")
        DatasetCatalog.register(names[-1], lambda: records)
        return names[-1]

    yield register
    for name in names:
        DatasetCatalog.remove(name)


def test_test_loader(dataset, registered):
    batches = list(build_detection_test_loader(data_cfg(), dataset, mapper=dict))
    assert [[r["image_id"] for r in batch] for batch in batches] == [[1], [2], [3], [4]]
    for workers in (0, 1):
        loader = build_detection_test_loader(
            data_cfg(workers=workers), registered(RECORDS), mapper=draw, batch_size=3
        )
        assert len(loader) == 3
        batches = list(loader)
        assert [len(batch) for batch in batches] == [3, 3, 2]
        assert ids(batches) == list(range(8))
        assert "numpy" in batches[0][0]
    with pytest.raises(AssertionError, match="empty"):
        build_detection_test_loader(data_cfg(), registered([]), mapper=dict)
    with pytest.raises(KeyError, match="unheard of"):
        build_detection_test_loader(data_cfg(), "unheard of", mapper=dict)


@pytest.mark.parametrize(
    ("size", "shards"), [(6, [2, 2, 2]), (7, [3, 2, 2]), (5, [2, 2, 1]), (2, [1, 1, 0])]
)
def test_test_shards_are_contiguous_and_may_be_uneven(registered, size, shards):
    name, found = registered([{"image_id": i} for i in range(size)]), []
    for rank in range(3):
        with process(rank, 3):
            loader = build_detection_test_loader(data_cfg(), name, mapper=dict)
            assert len(loader) == shards[rank]
            found += ids(loader)
    assert found == list(range(size))


def refuse(record):
    raise SAVError(f"{record['image_id']}.jpg: cannot be read")


@pytest.fixture
def _no_closed_streams():
    """Detectron2 logs to the stdout of the test that first set it up, which is closed by now."""
    for logger in map(logging.getLogger, list(logging.root.manager.loggerDict)):
        for handler in list(logger.handlers):
            if getattr(getattr(handler, "stream", None), "closed", False):
                logger.removeHandler(handler)


@pytest.mark.usefixtures("_no_closed_streams")
def test_an_error_in_a_worker_is_one_line_for_the_user(registered, capsys):
    cfg = data_cfg(workers=1)
    loader = build_detection_test_loader(cfg, registered(RECORDS), mapper=refuse)
    for batches, name in ((loader, 0), (train_loader(refuse, sampler=[3, 3], workers=1), 3)):
        with pytest.raises(SystemExit):
            run_command(lambda batches=batches: next(iter(batches)))
        assert capsys.readouterr().err == f"error: {name}.jpg: cannot be read\n"
