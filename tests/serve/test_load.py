"""Eight clients at once for ten minutes, or for SAV_LOAD_SECONDS."""

import os
import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from itertools import product

import httpx2
import numpy as np
import psutil
import pytest

from ..fixtures.run_folder import make_photo
from .browser import server
from .conftest import as_png

SECONDS = float(os.environ.get("SAV_LOAD_SECONDS", "600"))
CLIENTS, PHOTOS = 8, 12
FORMATS = ("json", "coco", "labelme", "mask")
MIB = 2**20

pytestmark = [pytest.mark.slow, pytest.mark.timeout(SECONDS + 300)]


def photo(number):
    """Sizes differ, so that a mixed-up answer cannot be right by chance."""
    return as_png(make_photo(40 + 7 * number, 60 + 5 * number, number))


def ask(client, number, form):
    """The answer to a photo."""
    return post(client, f"{number}.png", photo(number), format=form, score_threshold=0)


def post(client, name, content, **options):
    """One answer; a full queue is asked again, sooner than the server says."""
    while True:
        response = client.post("/predict", files={"photo": (name, content)}, params=options)
        if response.status_code != 503:
            return response
        time.sleep(float(response.headers["retry-after"]) / 10)


def load(url, truth, seed, end):
    """Ask for random photos, and now and then for nonsense, until a time; count the answers."""
    random, count = np.random.default_rng(seed), Counter()
    with httpx2.Client(base_url=url, timeout=60) as client:
        while time.monotonic() < end:
            if random.random() < 0.1:
                count[post(client, "noise", random.bytes(5000)).status_code] += 1
                continue
            number, form = int(random.integers(PHOTOS)), str(random.choice(FORMATS))
            response = ask(client, number, form)
            count[response.status_code] += 1
            count["wrong"] += response.content != truth[number, form]
    return count


def test_memory_is_bounded_and_no_answer_mixed_up(run_folder):
    words = ("--model", str(run_folder), "--queue", str(CLIENTS - 2))
    with server(*words) as (process, url):
        with httpx2.Client(base_url=url, timeout=60) as client:
            truth = {
                (number, form): ask(client, number, form).content
                for number, form in product(range(PHOTOS), FORMATS)
            }
        memory = psutil.Process(process.pid).memory_info
        end = time.monotonic() + SECONDS
        with ThreadPoolExecutor(CLIENTS) as pool:
            running = [pool.submit(load, url, truth, seed, end) for seed in range(CLIENTS)]
            used = []
            while time.monotonic() < end:
                time.sleep(SECONDS / 60)
                used.append(memory().rss / MIB)
            count = sum((one.result() for one in running), Counter())
        assert httpx2.get(f"{url}/health").json()["requests"] == 0
    growth = max(used) - used[len(used) // 10]
    sys.stdout.write(f"{dict(count)}; MiB: {used[0]:.0f} at first, then {growth:+.0f}\n")
    assert count.pop("wrong", 0) == 0
    assert count.keys() == {200, 415}
    assert count[200] > CLIENTS
    # The first tenth fills the caches of the allocator.
    assert growth < 150
