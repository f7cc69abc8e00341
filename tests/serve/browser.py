"""A server and a browser without a window, for pictures of the page and for its tests."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from selenium import webdriver
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

from sav.formats.masks import decode_codes

ROOT = Path(__file__).parents[2]
_SECONDS = 120
_FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)


@contextmanager
def server(*words: str, **environment: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Run ``sav serve`` at a free port of this machine, and interrupt it at the end.

    Args:
        words: further ones of the command line.
        environment: variables beside those of this process.

    Yields:
        the process, and the address that it says.
    """
    command = [sys.executable, "-m", "sav.cli", "serve", "--port", "0", "--device", "cpu", *words]
    # One thread: with several the last bits of scores may differ from those of the tests.
    # Detectron2's imports warn; that is not said by the server.
    usual = {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"}
    variables = {**os.environ, **usual, **environment}
    pipes = {"stdout": subprocess.PIPE, "text": True, "env": variables}
    with subprocess.Popen(command, **pipes) as process:
        try:
            said = process.stdout.readline().split()
            if not said:
                raise RuntimeError(f"sav serve ended with {process.wait()}")
            yield process, next(word for word in said if word.startswith("http"))
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(60)


def missing_program() -> str:
    """What is not installed of a browser and its driver; empty where both are."""
    programs = ("chromium", "chromedriver")
    return ", ".join(name for name in programs if shutil.which(name) is None)


@contextmanager
def browser(folder: Path, size: tuple[int, int] = (1360, 1000)) -> Iterator[webdriver.Chrome]:
    """Run Chromium with a profile of its own.

    Args:
        folder: for the profile, and in downloads/ for what is downloaded.
        size: width and height of the page's window.
    """
    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium")
    for flag in (*_FLAGS, f"--user-data-dir={folder / 'profile'}"):
        options.add_argument(flag)
    downloads = str(folder / "downloads")
    options.add_experimental_option("prefs", {"download.default_directory": downloads})
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.ChromeService(shutil.which("chromedriver"))
    with webdriver.Chrome(options=options, service=driver) as chrome:
        # A window has borders; the page is to have this size.
        metrics = {"width": size[0], "height": size[1], "deviceScaleFactor": 1, "mobile": False}
        chrome.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
        yield chrome


def choose(page: webdriver.Chrome, photo: Path) -> None:
    """Choose a photo on the page, and wait for its answer or a message."""
    page.find_element(By.ID, "file").send_keys(str(photo))
    wait_for_answer(page)


def wait_for_answer(page: webdriver.Chrome) -> None:
    """Until the page is not busy."""
    stage = page.find_element(By.ID, "stage")
    WebDriverWait(page, _SECONDS).until(lambda _: "busy" not in stage.get_attribute("class"))


def point_at(page: webdriver.Chrome, part: dict[str, Any]) -> None:
    """Move the pointer to a pixel of a part in the server's JSON: the innermost one."""
    height, width = part["mask"]["size"]
    mask = decode_codes([part["mask"]], height, width)[0]
    inner = cv2.distanceTransform(np.pad(np.ascontiguousarray(mask), 1), cv2.DIST_L2, 5)[1:-1, 1:-1]
    y, x = np.unravel_index(inner.argmax(), inner.shape)
    canvas = page.find_element(By.ID, "parts")
    box = canvas.rect
    # Offsets are whole pixels and count from the centre.
    across = round(box["width"] * ((x + 0.5) / width - 0.5))
    down = round(box["height"] * ((y + 0.5) / height - 0.5))
    move = ActionChains(page, duration=0).move_to_element_with_offset(canvas, across, down)
    move.perform()
