"""What a model sees against what is annotated."""

from pathlib import Path

import numpy as np
import pytest

from sav.check.finding import Finding, rank
from sav.check.opinion import Comparison, Opinion
from sav.check.photos import Part, Photo
from sav.formats.masks import encode_mask
from sav.ontology import load_ontology

ONTOLOGY = load_ontology("dsmlr")
SIZE = 60, 100


def code(x0, y0, x1, y1):
    mask = np.zeros(SIZE, np.uint8)
    mask[y0:y1, x0:x1] = 1
    return encode_mask(mask)


def photo(**boxes):
    parts = [
        Part.of(i, ONTOLOGY.class_id(name), 0, code(*box))
        for i, (name, box) in enumerate(boxes.items(), start=1)
    ]
    return Photo("made.json", 1, Path("made.jpg"), SIZE, parts=parts)


def seen(*parts):
    names, boxes, scores = zip(*parts, strict=True)
    classes = np.array([ONTOLOGY.class_id(name) for name in names])
    return Opinion([code(*box) for box in boxes], classes, np.array(scores))


def compare(annotated, opinion):
    return Comparison(annotated, opinion, ONTOLOGY)


def kinds(annotated, opinion):
    return [f.kind for f in compare(annotated, opinion).findings()]


HOOD, DOOR, FAR = (10, 10, 40, 30), (45, 10, 60, 40), (70, 45, 95, 58)


def test_agreement_is_no_finding():
    opinion = seen(("hood", (11, 10, 40, 31), 0.9), ("front_left_door", DOOR, 0.8))
    assert kinds(photo(hood=HOOD, front_left_door=DOOR), opinion) == []


def test_the_mirror_at_the_same_mask_is_swapped_sides():
    opinion = seen(("front_right_door", DOOR, 0.8))
    (finding,) = compare(photo(front_left_door=DOOR), opinion).findings()
    assert (finding.kind, finding.parts) == ("sides", (1,))
    assert finding.proposed == ("front_right_door",)


def test_another_class_at_the_same_mask_is_a_wrong_class():
    (finding,) = compare(photo(trunk=HOOD), seen(("hood", HOOD, 0.9))).findings()
    assert (finding.kind, finding.proposed) == ("class", ("hood",))


def test_the_annotated_class_seen_too_speaks_against_it():
    alone = seen(("hood", HOOD, 0.9))
    torn = seen(("hood", HOOD, 0.9), ("trunk", HOOD, 0.8))
    (sure,) = compare(photo(trunk=HOOD), alone).findings()
    (torn,) = compare(photo(trunk=HOOD), torn).findings()
    assert torn.likelihood < 0.3 * sure.likelihood


def test_an_unsure_model_has_no_opinion():
    assert kinds(photo(trunk=HOOD), seen(("hood", HOOD, 0.4))) == []


def test_what_only_the_model_sees_is_missing_near_the_vehicle():
    annotated = photo(hood=HOOD, wheel=FAR)
    assert kinds(annotated, seen(("front_left_door", DOOR, 0.8))) == ["missing"]


def test_what_only_the_model_sees_elsewhere_is_of_another_vehicle():
    assert kinds(photo(hood=HOOD), seen(("wheel", FAR, 0.8))) == ["vehicle"]


def test_a_part_seen_elsewhere():
    assert kinds(photo(hood=HOOD), seen(("hood", FAR, 0.9)))[0] == "outline"


def test_another_wheel_is_not_this_one_elsewhere():
    parts = [*photo(wheel=HOOD).parts, Part.of(2, ONTOLOGY.class_id("wheel"), 0, code(*FAR))]
    annotated = Photo("made.json", 1, Path("made.jpg"), SIZE, parts=parts)
    assert kinds(annotated, seen(("wheel", FAR, 0.9))) == []


def test_a_part_in_the_midst_of_another_one_that_the_model_does_not_see():
    opinion = seen(("front_left_door", (5, 5, 60, 50), 0.9))
    annotated = photo(front_left_door=(5, 5, 60, 50), hood=(20, 20, 30, 30))
    assert kinds(annotated, opinion) == ["extra"]


@pytest.mark.parametrize(
    ("name", "likelier"), [("front_right_door", True), ("front_left_door", False)]
)
def test_the_model_has_a_say_in_what_the_priors_find(name, likelier):
    annotated = photo(front_left_door=DOOR)
    suspicion = Finding(
        "sides", 0.5, annotated, "", ("front_left_door",), (1,), (), ("front_right_door",)
    )
    tempered = compare(annotated, seen((name, DOOR, 0.9))).temper(suspicion)
    assert (tempered.likelihood > 0.7) == likelier
    assert (tempered.likelihood < 0.3) != likelier


def test_silence_of_the_model_says_nothing_of_a_class():
    annotated = photo(front_left_door=DOOR)
    suspicion = Finding("sides", 0.5, annotated, "", ("front_left_door",), (1,))
    assert compare(annotated, seen(("wheel", FAR, 0.9))).temper(suspicion).likelihood == 0.5


def test_findings_of_one_fault_are_one():
    here = photo(front_left_door=DOOR)
    swapped = Finding(
        "sides", 0.6, here, "a", ("front_left_door",), (1,), (), ("front_right_door",)
    )
    again = Finding("sides", 0.5, here, "b", ("front_left_door",), (1,))
    follows = Finding("missing", 0.7, here, "c", ("front_right_door",))
    other = Finding("stray", 0.4, here, "d", ("front_left_door",), (1,))
    first, second = rank([other, swapped, follows, again], 0.0)
    assert first.likelihood == pytest.approx(0.8)
    assert first.text.split("; ") == ["a", "c", "b"]
    assert second.kind == "stray"
    (one,) = rank([follows, Finding("class", 0.1, here, "e", (), (1,), (), follows.classes)], 0.0)
    assert one.text == "c; e"
    assert rank([other], 0.5) == []
