"""The page in Chromium, with real clicks: the shipped model, a synthetic vehicle."""

import json
import math
from urllib.parse import urlsplit

import numpy as np
import pytest
from PIL import Image
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import Select, WebDriverWait

from sav.predict.predictor import SAVPredictor
from sav.predict.writers import describe_parts
from sav.synthetic import render_scene

from .browser import browser, choose, missing_program, point_at, server, wait_for_answer

missing = missing_program()
pytestmark = pytest.mark.skipif(bool(missing), reason=f"not installed: {missing}")

_DROP = """
const data = new DataTransfer();
data.items.add(new File([new Uint8Array(arguments[0])], "dropped.png", {type: "image/png"}));
document.dispatchEvent(new DragEvent("drop", {dataTransfer: data, cancelable: true}));
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("page")


@pytest.fixture(scope="module")
def photo(folder):
    """A file, and the parts that the shipped model finds in it."""
    image = render_scene(np.random.default_rng(11), 320, body_types=["suv"], azimuth=55).image
    Image.fromarray(image).save(folder / "car.png")
    predictor = SAVPredictor.from_pretrained(device="cpu")
    return folder / "car.png", describe_parts(predictor(image), predictor.ontology)


@pytest.fixture(scope="module")
def chrome(folder):
    with server("--max-mib", "1") as (_, url), browser(folder) as page:
        page.get(url)
        yield page


@pytest.fixture
def page(chrome, photo):
    """The page with the answer to the photo."""
    chrome.refresh()
    choose(chrome, photo[0])
    return chrome


def text(page, name):
    return page.find_element(By.ID, name).text


def rows(page):
    """Name and percent of each part in the list."""
    return [tuple(row.text.split("\n")) for row in page.find_elements(By.CLASS_NAME, "part")]


def expected(parts, score):
    return [
        (part["name"].replace("_", " "), f"{math.floor(100 * part['score'] + 0.5)} %")
        for part in parts
        if part["score"] >= score
    ]


def box_of(page, part):
    name = part["name"].replace("_", " ")
    (row,) = (r for r in page.find_elements(By.CLASS_NAME, "part") if r.text.startswith(name))
    return row.find_element(By.TAG_NAME, "input")


def the(parts, name):
    return next(part for part in parts if part["name"] == name)


def painted(page):
    """Number of pixels of the canvas on which parts are drawn."""
    return page.execute_script(
        "const c = document.getElementById('parts');"
        "const d = c.getContext('2d').getImageData(0, 0, c.width, c.height).data;"
        "let n = 0; for (let i = 3; i < d.length; i += 4) n += d[i] > 0; return n;"
    )


def test_a_photo_becomes_a_list_of_its_parts(page, photo):
    assert text(page, "message") == ""
    assert rows(page) == expected(photo[1], 0.3)
    assert "Vehicle 0" in text(page, "vehicles")
    assert painted(page) > 1000


def test_pointing_at_a_part_names_it_with_score_and_vehicle(page, photo):
    for name in ("left_front_door", "left_front_wheel", "windshield"):
        part = the(photo[1], name)
        point_at(page, part)
        score = f"{math.floor(100 * part['score'] + 0.5)} %"
        assert text(page, "tip") == f"{name.replace('_', ' ')} · {score} · vehicle 0"
    assert "windshield" in text(page, "about")


def test_the_page_says_what_the_graph_says(page, photo):
    point_at(page, the(photo[1], "left_front_door"))
    said = text(page, "about")
    assert "adjacent to left back door ✓" in said
    assert "mirror of right front door" in said
    assert "right front door ✓" not in said


def test_a_part_can_be_hidden_and_shown(page, photo):
    door, before = the(photo[1], "left_front_door"), painted(page)
    box_of(page, door).click()
    point_at(page, door)
    assert "left front door" not in text(page, "tip")
    page.find_element(By.ID, "score").click()  # away from the part
    box_of(page, door).click()
    point_at(page, door)
    assert "left front door" in text(page, "tip")
    page.find_element(By.TAG_NAME, "h1").click()
    assert before > 0


def test_a_vehicle_and_all_parts_can_be_hidden(page):
    for box in (
        page.find_element(By.CSS_SELECTOR, ".vehicle .head input"),
        page.find_element(By.ID, "all"),
    ):
        box.click()
        assert painted(page) == 0
        page.find_element(By.ID, "all").click()
        assert painted(page) > 1000


def test_the_score_changes_what_is_listed(page, photo):
    slider = page.find_element(By.ID, "score")
    slider.send_keys(Keys.HOME)
    assert rows(page) == expected(photo[1], 0.05)
    slider.send_keys(Keys.END)
    assert rows(page) == []
    assert painted(page) == 0


def test_another_vocabulary_is_answered_in(page):
    Select(page.find_element(By.ID, "vocabulary")).select_by_value("dsmlr")
    wait_for_answer(page)
    names = {name for name, _ in rows(page)}
    assert "front left door" in names
    assert "left front door" not in names


def test_the_neighbours_are_shown(page):
    figures = page.find_elements(By.CSS_SELECTOR, "#neighbours figure")
    assert len(figures) == 8
    assert all("similarity 0." in figure.text for figure in figures)
    assert all(
        picture.get_property("naturalWidth") > 0
        for picture in page.find_elements(By.CSS_SELECTOR, "#neighbours img")
    )


def test_every_format_can_be_downloaded(page, photo, folder):
    names = ["car.json", "car.coco.json", "car.labelme.json", "car_mask.png", "car_overlay.png"]
    buttons = page.find_elements(By.CSS_SELECTOR, "#downloads button")
    for name, button in zip(names, buttons, strict=True):
        button.click()
        file = folder / "downloads" / name
        WebDriverWait(page, 120).until(lambda _, file=file: file.is_file())
    answer = json.loads((folder / "downloads" / "car.json").read_text())
    assert answer["parts"] == [part for part in photo[1] if part["score"] >= 0.3]
    with Image.open(folder / "downloads" / "car_mask.png") as mask:
        assert mask.size == (320, 320)


def test_a_photo_can_be_dropped(page, photo):
    page.execute_script(_DROP, list(photo[0].read_bytes()))
    assert "dropped.png" in text(page, "message")
    wait_for_answer(page)
    assert rows(page) == expected(photo[1], 0.3)


def test_what_is_no_photo_is_said_and_the_page_goes_on(page, photo, folder):
    (folder / "text.png").write_text("no photo")
    choose(page, folder / "text.png")
    assert "unknown format" in text(page, "message")
    (folder / "large.png").write_bytes(b"\0" * 2**21)
    choose(page, folder / "large.png")
    assert "larger than 1 MiB" in text(page, "message")
    choose(page, photo[0])
    assert text(page, "message") == ""
    assert rows(page) == expected(photo[1], 0.3)


def test_names_are_text_not_html(page, photo, folder):
    file = folder / "<img src=x onerror=document.title=1>.png"
    file.write_bytes(photo[0].read_bytes())
    choose(page, file)
    assert rows(page) == expected(photo[1], 0.3)
    page.execute_script("window.fetch = () => new Promise(() => {})")  # the message stays
    page.find_element(By.ID, "file").send_keys(str(file))
    assert file.name in text(page, "message")
    assert page.find_elements(By.CSS_SELECTOR, "#message img") == []


def test_a_photo_that_the_browser_cannot_show_is_drawn_on_grey(page, photo, folder):
    with Image.open(photo[0]) as image:
        image.save(folder / "car.tif")
    choose(page, folder / "car.tif")
    assert "drawn on grey" in text(page, "message")
    assert rows(page) == expected(photo[1], 0.3)


def test_nothing_is_loaded_from_elsewhere_and_nothing_is_refused(page):
    """Runs after the others: the log has all their requests and what the policy refused."""
    here = urlsplit(page.current_url).netloc
    for entry in page.get_log("performance"):
        message = json.loads(entry["message"])["message"]
        if message["method"] == "Network.requestWillBeSent":
            asked = urlsplit(message["params"]["request"]["url"])
            # Chromium's own first page is of "chrome" or "chrome-untrusted".
            if not asked.scheme.startswith(("data", "blob", "chrome")):
                assert asked.netloc == here
    entries = page.get_log("browser")
    severe = [entry["message"] for entry in entries if entry["level"] == "SEVERE"]
    assert severe
    assert all("status of 415" in message for message in severe), severe
