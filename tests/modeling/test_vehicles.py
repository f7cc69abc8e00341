"""Which vehicles a photo shows, and one look-up for each."""

import torch

from sav.d2 import build_model
from sav.modeling.context.vehicles import (
    PredictedVehicles,
    find_vehicles,
    match_annotated,
    predicted_parts,
)
from sav.modeling.grouping import VehicleKinds
from sav.modeling.sam.decoder import DecoderOutput

CLASSES = torch.tensor([0, 0, 1, 1])  # two bodies, two wheels
BODY = VehicleKinds(bodies=(0,))
SIZE = 64


def decoded(*photos):
    """Each photo: for each query None, or (left, top, right, bottom, presence)."""
    masks = torch.full((len(photos), len(CLASSES), SIZE, SIZE), -8.0)
    presence = torch.full((len(photos), len(CLASSES)), -8.0)
    for row, queries in enumerate(photos):
        for query, shown in enumerate(queries):
            if shown is not None:
                left, top, right, bottom, sure = shown
                masks[row, query, top:bottom, left:right] = 8.0
                presence[row, query] = torch.tensor(sure).logit()
    return DecoderOutput(masks, presence, presence, torch.zeros(len(photos), 32, SIZE, SIZE))


def find(*photos, kinds=BODY):
    return find_vehicles(decoded(*photos), CLASSES, 2, kinds)


LEFT = [(2, 20, 30, 50, 0.9), None, (4, 44, 12, 52, 0.9), (20, 44, 28, 52, 0.1)]
TWO = [(2, 20, 30, 50, 0.9), (34, 22, 62, 48, 0.8), (4, 44, 12, 52, 0.9), (50, 42, 58, 50, 0.2)]


def test_a_single_vehicle_is_all_that_the_photo_shows():
    output = decoded(LEFT, TWO)
    found = find(LEFT, TWO)
    assert found.photo.tolist() == [0, 1, 1]
    assert torch.equal(found.parts[0], predicted_parts(output, CLASSES, 2)[0])


def test_each_part_is_in_the_vehicle_that_holds_it_however_unsure():
    found = find(TWO)
    body, wheel = 0, 1
    half = SIZE // 4  # of the grid
    assert found.parts[0, body, :, :half].max() > 0.8
    assert found.parts[0, body, :, half:].max() < 0.01
    assert found.parts[1, body, :, :half].max() < 0.01
    assert found.parts[0, wheel].max() > 0.8
    assert 0.15 < found.parts[1, wheel].max() < 0.25
    assert found.parts[1, wheel, :, half:].max() == found.parts[1, wheel].max()
    left, right = found.boxes[:, 0], found.boxes[:, 2]
    assert right[0] < 0.55
    assert left[1] > 0.45


def test_without_body_classes_parts_that_touch_are_one_vehicle():
    apart = [None, None, (4, 44, 12, 52, 0.9), (50, 42, 58, 50, 0.9)]
    together = [None, None, (4, 44, 12, 52, 0.9), (12, 44, 20, 52, 0.9)]
    assert find(apart, together, kinds=VehicleKinds()).photo.tolist() == [0, 0, 1]


def test_a_speck_is_no_vehicle():
    speck = [(2, 20, 60, 50, 0.9), (40, 2, 44, 6, 0.9), None, None]
    found = find(speck)
    assert found.photo.tolist() == [0]


def test_a_photo_without_parts_has_one_vehicle_of_nothing():
    found = find([None] * 4, TWO)
    assert found.photo.tolist() == [0, 1, 1]
    assert found.parts[0].max() < 1e-3
    assert found.boxes.isfinite().all()


def test_annotated_vehicles_are_found_among_the_predicted_ones_of_their_photo():
    boxes = torch.tensor([[0.0, 0.0, 0.5, 1.0], [0.5, 0.0, 1.0, 1.0], [0.0, 0.0, 1.0, 1.0]])
    predicted = PredictedVehicles(torch.tensor([0, 0, 1]), torch.zeros(3, 2, 4, 4), boxes)
    annotated = torch.tensor([[0.6, 0.1, 0.9, 0.9], [0.1, 0.1, 0.5, 0.9], [0.1, 0.1, 0.11, 0.11]])
    match = match_annotated(predicted, torch.tensor([0, 0, 1]), annotated)
    assert match.tolist() == [1, 0, -1]


def test_the_gallery_has_an_entry_for_each_vehicle_and_finds_it_again(cfg, make_input):
    """An untrained model predicts one vehicle a photo, so both entries have its key."""
    torch.manual_seed(0)
    model = build_model(cfg).eval()
    photo = make_input("a/1")
    photo["instances"].gt_vehicle_ids = torch.tensor([4, 4, 9, 4])
    made = model.exemplars([photo, make_input("a/2", seed=1)])
    named = [(vehicle.photo.id, vehicle.number) for vehicle in made.vehicles]
    assert named == [("a/1", 4), ("a/1", 9), ("a/2", 0)]
    assert made.places == [0, 0, 1]
    present = made.exemplars.present
    assert present[0, [0, 2, 6]].all()
    assert present[1].nonzero().flatten().tolist() == [2]
    model.context.gallery.update(made.vehicles, made.exemplars)
    keys = model.retrieval_keys([photo])
    rows, similarity = model.context.gallery.search(keys.keys, 3, [None])
    assert set(rows[0].tolist()) == {0, 1, 2}
    assert similarity[0, 0] > 1 - 1e-5
    unknown = model.context.gallery.search(keys.keys, 3, [made.vehicles[0].photo])[0]
    assert unknown[0].tolist() == [2, -1, -1]
