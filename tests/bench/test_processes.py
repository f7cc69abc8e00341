"""Running trainings side by side, here stood in for by a few words of Python."""

import os
import signal
import subprocess
import sys

import pytest
import torch
from tqdm import tqdm

from sav.bench import processes
from sav.bench.processes import run_all
from sav.errors import SAVError

MEET = """
import pathlib, sys, time
own, other = map(pathlib.Path, sys.argv[1:])
own.touch()
end = time.monotonic() + 60
while not other.exists():
    assert time.monotonic() < end, "nobody came"
    time.sleep(0.01)
"""


def python(code, *arguments):
    return [sys.executable, "-c", code, *map(str, arguments)]


def run(commands, parallel):
    with tqdm(total=len(commands)) as progress:
        run_all(commands, parallel, progress)
        return progress.n


def test_as_many_run_at_a_time_as_asked_for(tmp_path):
    a, b = tmp_path / "a", tmp_path / "b"
    pair = [(tmp_path / "1", python(MEET, a, b)), (tmp_path / "2", python(MEET, b, a))]
    assert run(pair, 2) == 2


def test_one_at_a_time_keeps_the_order(tmp_path):
    file = tmp_path / "log"
    write = "import sys; open(sys.argv[1], 'a').write(sys.argv[2])"
    assert run([(tmp_path, python(write, file, word)) for word in "abc"], 1) == 3
    assert file.read_text() == "abc"


def test_a_failure_is_one_line_and_ends_the_others(tmp_path, monkeypatch):
    started = []
    popen = subprocess.Popen
    monkeypatch.setattr(
        processes.subprocess, "Popen", lambda *a, **k: started.append(popen(*a, **k)) or started[-1]
    )
    bad = "import sys; print('sav: error: no such file'); sys.exit(1)"
    commands = [
        (tmp_path / "good", python("import time; time.sleep(600)")),
        (tmp_path / "bad", python(bad)),
        (tmp_path / "later", python("")),
    ]
    with pytest.raises(SAVError, match=r"bad: .* failed, sav: error: no such file \(.*txt\);"):
        run(commands, 2)
    assert [process.returncode for process in started] == [-signal.SIGTERM, 1]
    assert not (tmp_path / "later").exists()


def test_processes_share_threads_and_gpus(tmp_path, monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 8)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    say = "import os; print(os.environ['CUDA_VISIBLE_DEVICES'], os.environ['OMP_NUM_THREADS'])"

    def said(parallel):
        folders = [tmp_path / str(number) for number in range(parallel)]
        run([(folder, python(say)) for folder in folders], parallel)
        return sorted((folder / "console.txt").read_text().strip() for folder in folders)

    assert said(3) == ["0 2", "0 2", "1 2"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "5,7")
    assert said(2) == ["5 4", "7 4"]
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "5,7"
