import torch

from sav.gallery.photos import Photo
from sav.gallery.vehicles import Vehicle
from sav.modeling.context.exemplars import AnnotatedVehicles, pool_exemplars
from sav.modeling.context.keys import LAYOUT_SIDE, appearance_key, join_keys, layout_key
from sav.modeling.context.vehicles import PredictedVehicles
from sav.modeling.encoded_photos import EncodedPhotos
from sav.modeling.targets import Targets

from .small_views import whole_view

WHOLE = torch.tensor([[0.0, 0.0, 1.0, 1.0]])
CELL = LAYOUT_SIDE // 6


def masks(*rectangles, size=2 * LAYOUT_SIDE):
    """(1, C, size, size) of one rectangle a class, in sixths of the side; None for none."""
    unit = size // 6
    parts = torch.zeros(1, len(rectangles), size, size)
    for part, sides in zip(parts[0], rectangles, strict=True):
        if sides is not None:
            left, top, right, bottom = (unit * side for side in sides)
            part[top:bottom, left:right] = 1.0
    return parts


def pool(annotated, embedding=None, predicted=None, boxes=WHOLE):
    count, classes = annotated.shape[:2]
    embedding = torch.randn(count, 2, 6, 6) if embedding is None else embedding
    if predicted is None:
        predicted = torch.rand(count, classes, LAYOUT_SIDE, LAYOUT_SIDE)
    rows = torch.arange(count)
    named = [Vehicle(Photo(str(row))) for row in range(count)]
    surroundings = (1 - annotated.sum(1)).clamp(min=0)
    known = torch.ones(count, classes, dtype=torch.bool)
    vehicles = AnnotatedVehicles(named, rows, annotated, known, surroundings)
    seen = PredictedVehicles(rows, predicted, boxes.expand(count, 4))
    return pool_exemplars(embedding, vehicles, seen, torch.zeros(count, 1))


def test_prototypes_are_means_within_the_parts_and_around_the_vehicle():
    embedding = torch.zeros(1, 2, 6, 6)
    embedding[0, 0, :3] = 1.0  # upper half
    embedding[0, 1, :, :3] = 3.0  # left half
    annotated = masks((0, 0, 3, 3), None, (3, 0, 6, 6))
    (prototypes,) = pool(annotated, embedding).prototypes
    assert torch.allclose(prototypes[0], torch.tensor([1.0, 3.0]))
    assert torch.allclose(prototypes[2], torch.tensor([0.5, 0.0]))
    assert torch.allclose(prototypes[3], torch.tensor([0.0, 3.0]))  # the lower left is left over
    assert torch.equal(prototypes[1], torch.zeros(2))


def test_what_is_not_annotated_is_not_present():
    entry = pool(masks((0, 0, 3, 3), None, (5, 5, 6, 6)))
    assert entry.present.tolist() == [[True, False, True]]
    assert (entry.layouts[0, 1] == 0).all()


def test_a_part_smaller_than_a_cell_is_present_and_has_a_prototype():
    annotated = torch.zeros(1, 1, 36, 36)
    annotated[0, 0, 7, 8] = 1.0
    embedding = torch.randn(1, 2, 6, 6)
    entry = pool(annotated, embedding)
    assert entry.present.all()
    assert torch.allclose(entry.prototypes[0, 0], embedding[0, :, 1, 1], atol=1e-5)


def test_layouts_are_shares_of_cells_in_the_box():
    annotated = masks((0, 0, 2, 3), (2, 0, 6, 3))
    layouts = pool(annotated).layouts
    assert layouts.dtype == torch.uint8
    expected = torch.zeros(2, LAYOUT_SIDE, LAYOUT_SIDE)
    expected[0, : 3 * CELL, : 2 * CELL] = 255
    expected[1, : 3 * CELL, 2 * CELL :] = 255
    assert torch.equal(layouts[0].float(), expected)
    half = torch.tensor([[0.0, 0.0, 1.0, 0.5]])
    stretched = pool(annotated, boxes=half).layouts[0].float()
    # Towards the edge of the image it fades into the nothing outside.
    assert (stretched[0, 1:-1, 1 : 2 * CELL - 1] == 255).all()
    assert (stretched[1, 1:-1, 2 * CELL + 1 : -1] == 255).all()


def test_what_the_model_saw_is_kept_beside_what_is_there():
    annotated = masks((0, 0, 3, 3), (3, 3, 6, 6))
    predicted = torch.zeros(1, 2, LAYOUT_SIDE, LAYOUT_SIDE)
    predicted[0, 1] = 0.4
    entry = pool(annotated, predicted=predicted)
    assert (entry.predicted_layouts[0, 1] == 102).all()
    assert (entry.predicted_layouts[0, 0] == 0).all()


def test_photos_are_pooled_each_by_itself():
    annotated = torch.cat([masks((0, 0, 3, 3), None), masks((1, 1, 6, 6), (0, 0, 1, 1))])
    embedding, predicted = torch.randn(2, 2, 6, 6), torch.rand(2, 2, LAYOUT_SIDE, LAYOUT_SIDE)
    both = pool(annotated, embedding, predicted)
    alone = pool(annotated[1:], embedding[1:], predicted[1:])
    for name, value in alone.tensors().items():
        assert torch.allclose(both.tensors()[name][1:].float(), value.float(), atol=1e-6)


def test_descriptors_are_unit_vectors_in_which_small_parts_count():
    body, one, other = (0, 0, 6, 6), (0, 0, 1, 1), (5, 5, 6, 6)
    seen = torch.cat([masks(body, one), masks(body, other), masks(body, one) * 0.7])
    descriptors = layout_key(seen)
    assert torch.allclose(descriptors.norm(dim=1), torch.ones(3), atol=1e-5)
    similar = descriptors @ descriptors.T
    # Compared cell by cell, a part of one cell in 36 would make a difference of 0.03.
    assert similar[0, 1] < 0.975
    assert similar[0, 2] > 0.999  # how sure the model is does not count


def test_a_photo_in_which_nothing_is_seen_has_a_finite_descriptor():
    assert (layout_key(torch.zeros(1, 3, LAYOUT_SIDE, LAYOUT_SIDE)) == 0).all()


def test_each_vehicle_of_a_photo_has_its_own_parts():
    squares = torch.zeros(3, 12, 12)
    squares[0, :6, :6] = squares[1, :6, 6:] = squares[2, 6:, 6:] = 1
    labels = torch.zeros(12, 12, dtype=torch.int64)
    labels[:6] = 1
    labels[6:, 6:] = 2
    target = Targets(torch.tensor([0, 0, 1]), squares, labels, [7, 3, 7])
    nothing = Targets(torch.zeros(0, dtype=torch.int64), squares[:0], labels * 0, [])
    photo = Photo("a/1")
    predicted = torch.rand(3, 2, 2, 2)

    def encoded(photos):
        supervised = torch.ones(len(photos), 2, dtype=torch.bool)
        return EncodedPhotos({}, [whole_view([2, 1])] * len(photos), supervised, photos)

    photos = encoded([None, photo, Photo("a/2")])
    found = AnnotatedVehicles.of(photos, [target, target, nothing], predicted)
    assert found.names == [Vehicle(photo, 7), Vehicle(photo, 3)]
    assert found.photo.tolist() == [1, 1]
    assert found.parts.tolist() == [
        [[[1.0, 0.0], [0.0, 0.0]], [[0.0, 0.0], [0.0, 1.0]]],
        [[[0.0, 1.0], [0.0, 0.0]], [[0.0, 0.0], [0.0, 0.0]]],
    ]
    # The other vehicle is no surroundings.
    assert found.surroundings.tolist() == 2 * [[[0.0, 0.0], [1.0, 0.0]]]
    assert AnnotatedVehicles.of(encoded([None, None]), [target, nothing], predicted) is None


def test_appearance_is_that_of_the_vehicle_alone():
    parts = masks((0, 0, 3, 6), (3, 0, 6, 2), size=12)
    embedding = torch.zeros(1, 4, 6, 6)
    embedding[0, :, :, 3:] = torch.randn(4)[:, None, None]
    embedding[0, :, :, :3] = embedding[0, :, :2, 3:] = torch.tensor([1.0, 2.0, 3.0, 4.0])[
        :, None, None
    ]
    key = appearance_key(embedding, parts)
    assert torch.allclose(
        key, torch.nn.functional.normalize(torch.tensor([[-1.5, -0.5, 0.5, 1.5]]))
    )
    assert appearance_key(embedding, parts * 0).isfinite().all()


def test_joined_keys_are_compared_by_both_with_their_weights():
    unit = torch.nn.functional.normalize
    layout, look = unit(torch.randn(3, 5)), unit(torch.randn(3, 4))
    joined = join_keys(layout, look, 0.3)
    expected = 0.7 * layout @ layout.T + 0.3 * look @ look.T
    assert torch.allclose(joined @ joined.T, expected, atol=1e-6)
    assert torch.equal(join_keys(layout, look, 0.0), layout)
