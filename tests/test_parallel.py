import os
import signal

import pytest

from sav.errors import SAVError
from sav.parallel import map_in_processes


def square_and_process(number):
    return number**2, os.getpid()


def die_at_twenty(number):
    if number == 20:
        os.kill(os.getpid(), signal.SIGKILL)


def fail_at_twenty(number):
    if number >= 20:
        raise SAVError(f"task {number}")


def run(function, count, workers):
    return list(map_in_processes(function, range(count), workers=workers, chunk=8, title="test"))


@pytest.mark.parametrize(("count", "workers"), [(40, 2), (15, 2), (40, 1), (0, 2)])
def test_results_come_in_the_order_of_the_tasks(count, workers):
    results = run(square_and_process, count, workers)
    assert [number for number, _ in results] == [i**2 for i in range(count)]
    several = workers > 1 and count >= 16
    assert (os.getpid() in {process for _, process in results}) == (count > 0 and not several)


def test_a_killed_process_is_one_error():
    with pytest.raises(SAVError, match="was killed"):
        run(die_at_twenty, 40, 2)


@pytest.mark.parametrize("workers", [1, 2])
def test_the_first_failure_in_order_is_raised(workers):
    with pytest.raises(SAVError, match=r"^task 20$"):
        run(fail_at_twenty, 40, workers)
