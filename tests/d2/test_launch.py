import json

import pytest
import torch

from sav.d2 import InferenceSampler, TrainingSampler, comm, launch
from sav.errors import SAVError

from .toy import ToyTrainer, toy_cfg


def report(folder):
    """Run in every process: write what it saw."""
    sampler = TrainingSampler(6, seed=2)
    stream = iter(sampler)
    facts = {
        "rank": comm.get_rank(),
        "local": (comm.get_local_rank(), comm.get_local_size()),
        "size": comm.get_world_size(),
        "main": comm.is_main_process(),
        "gathered": comm.gather(f"r{comm.get_rank()}"),
        "everywhere": comm.all_gather(comm.get_rank()),
        "seed": comm.shared_random_seed(),
        "train": [next(stream) for _ in range(6)],
        "test": list(InferenceSampler(5)),
    }
    (folder / f"{comm.get_rank()}.json").write_text(json.dumps(facts))


def train(folder):
    torch.set_num_threads(1)
    torch.manual_seed(0)
    trainer = ToyTrainer(toy_cfg(folder))
    trainer.train()
    results = trainer.test(trainer.cfg, trainer.model)
    if comm.is_main_process():
        model = getattr(trainer.model, "module", trainer.model)
        torch.save({"model": model.state_dict(), "results": results}, folder / "end.pth")


def both(folder):
    report(folder)
    train(folder)


def complain(message):
    raise SAVError(message)


def test_one_process_runs_in_place():
    calls = []
    launch(calls.append, 1, args=(3,))
    assert calls == [3]
    assert (comm.get_rank(), comm.get_world_size(), comm.is_main_process()) == (0, 1, True)
    assert comm.gather(5) == [5]
    assert comm.all_gather(5) == [5]


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    """The folder that two processes have left; starting them is the slow part."""
    folder = tmp_path_factory.mktemp("two")
    launch(both, 2, dist_url="auto", args=(folder,))
    return folder


def test_two_processes_share_the_work(two):
    first, second = (json.loads((two / f"{i}.json").read_text()) for i in (0, 1))
    assert (first["rank"], second["rank"]) == (0, 1)
    assert (first["local"], second["local"]) == ([0, 2], [1, 2])
    assert (first["main"], second["main"]) == (True, False)
    assert (first["gathered"], second["gathered"]) == (["r0", "r1"], [])
    assert second["everywhere"] == [0, 1]
    assert first["seed"] == second["seed"]
    assert (first["test"], second["test"]) == ([0, 1, 2], [3, 4])
    stream = iter(TrainingSampler(6, seed=2))
    together = [next(stream) for _ in range(12)]
    assert (first["train"], second["train"]) == (together[0::2], together[1::2])


def test_two_processes_train_like_one(two, tmp_path):
    """The same samples and augmentations in each step, so the same weights up to rounding."""
    train(tmp_path)
    ends = [torch.load(f / "end.pth", weights_only=True) for f in (tmp_path, two)]
    for name, value in ends[0]["model"].items():
        torch.testing.assert_close(ends[1]["model"][name], value, msg=name)
    assert [end["results"]["toy"]["images"] for end in ends] == [10, 10]
    means = [end["results"]["toy"]["mean"] for end in ends]
    assert means[0] == pytest.approx(means[1])
    losses = []
    for folder in (tmp_path, two):
        with (folder / "metrics.json").open() as file:
            lines = [json.loads(line) for line in file]
        losses.append([line["total_loss"] for line in lines if "total_loss" in line])
    assert len(losses[0]) == 1
    assert losses[0] == pytest.approx(losses[1])


def test_an_error_of_the_user_stays_one_line():
    with pytest.raises(SAVError, match=r"^a\.json: no images; check it$"):
        launch(complain, 2, dist_url="auto", args=("a.json: no images; check it",))
