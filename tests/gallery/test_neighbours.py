from dataclasses import fields

import pytest
import torch

from sav.bench.galleries import RandomGallery
from sav.gallery.exemplars import RetrievalKeys
from sav.gallery.photos import Photo
from sav.gallery.store import Gallery
from sav.gallery.vehicles import Vehicle
from sav.modeling.context.keys import layout_key
from tests.gallery.galleries import MIRROR, C, M, exemplars, filled, grouped, keys_of


def test_search_equals_brute_force():
    gallery, queries = filled(), exemplars(6, seed=1).keys
    rows, similarities = gallery.search(queries, 4, [None] * 6)
    expected = (queries @ exemplars(20).keys.T).topk(4)
    assert torch.equal(rows, expected.indices)
    assert torch.allclose(similarities, expected.values, atol=1e-5)


def test_no_image_is_its_own_neighbour():
    gallery = filled()
    stored = gallery.exemplars.keys
    photos = [vehicle.photo for vehicle in gallery.vehicles]
    with_self, _ = gallery.search(stored, 3, [None] * len(photos))
    assert torch.equal(with_self[:, 0], torch.arange(len(photos)))
    rows, _ = gallery.search(stored, 3, photos)
    assert (rows != torch.arange(len(photos))[:, None]).all()
    assert torch.equal(rows[:, :2], with_self[:, 1:])


def test_excluded_key_is_not_used_up_when_far_away():
    gallery = filled(4)
    query = gallery.exemplars.keys[:1]
    every, _ = gallery.search(query, 4, [None])
    farthest = gallery.vehicles[int(every[0, -1])].photo
    rows, _ = gallery.search(query, 3, [farthest])
    assert torch.equal(rows, every[:, :3])


def test_a_gallery_of_only_oneself_gives_nothing():
    gallery = filled(1)
    for search in (gallery.neighbours, RandomGallery.of(gallery).neighbours):
        near = search(
            keys_of(gallery.exemplars.keys), 4, [vehicle.photo for vehicle in gallery.vehicles]
        )
        assert not near.exists.any()
        assert not near.present.any()


@pytest.mark.parametrize("count", [0, 1, 5, 32])
def test_any_number_of_neighbours(count):
    gallery = filled(7)
    queries, photos = keys_of(exemplars(2, seed=2).keys), [None, Photo("car/1")]
    rows, _ = gallery.search(queries.keys, count, photos)
    random = RandomGallery.of(gallery).neighbours(queries, count, photos)
    for found in (rows >= 0, random.exists):
        assert found.shape == (2, count)
        assert found.sum(1).tolist() == [min(count, 7), min(count, 6)]
    near = gallery.neighbours(queries, count, photos)
    # A vehicle and its mirror image are two.
    assert near.exists.sum(1).tolist() == [min(count, 14), min(count, 12)]
    assert near.layouts.shape == (2, count, C, M, M)


def test_missing_neighbours_are_not_present():
    gallery = filled(2)
    found = gallery.exemplars
    near = gallery.neighbours(keys_of(found.keys[1:]), 5, [Photo("car/0")])
    assert near.exists.tolist() == [[True, True, False, False, False]]
    assert torch.equal(near.present[0, 0], found.present[1])
    assert torch.equal(near.prototypes[0, 0], found.prototypes[1].float())
    assert torch.equal(near.layouts[0, 0] * 255, found.layouts[1].float())
    assert torch.equal(near.predicted_layouts[0, 0] * 255, found.predicted_layouts[1].float())
    assert torch.allclose(near.similarity[0], torch.tensor([1.0, 0, -1, -1, -1]), atol=1e-6)
    assert not near.present[0, 2:].any()


def sides(count, seed=0):
    """Layouts of vehicles that are not symmetric, and the queries of photos that show them."""
    layouts = torch.rand(count, C, M, M, generator=torch.Generator().manual_seed(seed)) ** 4
    mirrored = layouts[:, MIRROR].flip(-1)
    return layouts, RetrievalKeys(layout_key(layouts), layout_key(mirrored), MIRROR)


def seen_from_sides(count=12):
    gallery, (layouts, queries) = Gallery({}), sides(count)
    known = exemplars(count)
    known.keys = queries.keys
    known.layouts = (255 * layouts).to(torch.uint8)
    gallery.update([Vehicle(Photo(f"car/{i}")) for i in range(count)], known)
    return gallery, queries


def mirror_image(queries):
    return RetrievalKeys(queries.mirrored, queries.keys, queries.mirror_ids)


def test_a_thinner_gallery_gives_every_nth_neighbour():
    gallery, queries = seen_from_sides()
    every = gallery.neighbours(queries, 12, [None] * 12)
    thinned = gallery.neighbours(queries, 3, [None] * 12, torch.tensor([1, 2, 4] * 4))
    for photo, step in enumerate([1, 2, 4] * 4):
        ranks = torch.arange(1, 4) * step - 1
        assert torch.equal(thinned.similarity[photo], every.similarity[photo, ranks])
        assert torch.equal(thinned.layouts[photo], every.layouts[photo, ranks])


def test_a_vehicle_is_found_by_its_mirror_image():
    gallery, queries = seen_from_sides()
    for asked, expected in ((queries, False), (mirror_image(queries), True)):
        rows, similarity, mirrored = gallery.search_with_mirror(asked, 4, [None] * 12)
        assert rows[:, 0].tolist() == list(range(12))
        assert mirrored[:, 0].tolist() == [expected] * 12
        assert torch.allclose(similarity[:, 0], torch.ones(12), atol=1e-5)
        assert (similarity.diff(dim=1) <= 0).all()


def test_both_ways_are_searched_as_if_mirror_images_were_stored():
    gallery, _ = seen_from_sides()
    _, asked = sides(5, seed=1)
    rows, similarity, mirrored = gallery.search_with_mirror(asked, 6, [None] * 5)
    stored = gallery.exemplars.keys
    # The mirror image of the query is like the vehicle as the query is like its mirror image.
    every = torch.cat([asked.keys @ stored.T, asked.mirrored @ stored.T], dim=1)
    expected = every.topk(6)
    assert torch.allclose(similarity, expected.values, atol=1e-5)
    assert torch.equal(rows + 12 * mirrored, expected.indices)


def test_what_is_forbidden_is_so_in_the_mirror_too():
    gallery, queries = seen_from_sides()
    for asked in (queries, mirror_image(queries)):
        rows, _, _ = gallery.search_with_mirror(
            asked, 32, [vehicle.photo for vehicle in gallery.vehicles]
        )
        assert (rows != torch.arange(12)[:, None]).all()
        assert ((rows >= 0).sum(1) == 22).all()


def test_mirror_images_give_their_parts_to_the_other_side():
    gallery, queries = seen_from_sides()
    plain = gallery.neighbours(queries, 1, [None] * 12)
    turned = gallery.neighbours(mirror_image(queries), 1, [None] * 12)
    assert torch.equal(turned.layouts, plain.layouts[:, :, MIRROR].flip(-1))
    assert torch.equal(turned.predicted_layouts, plain.predicted_layouts[:, :, MIRROR].flip(-1))
    assert torch.equal(turned.present, plain.present[:, :, MIRROR])
    assert torch.equal(turned.prototypes[:, :, :C], plain.prototypes[:, :, MIRROR])
    assert torch.equal(turned.prototypes[:, :, C], plain.prototypes[:, :, C])


def test_the_mirror_image_of_a_mirror_image_is_the_vehicle():
    gallery, queries = seen_from_sides()
    near = gallery.neighbours(queries, 4, [None] * 12)
    which = torch.rand(12, 4, generator=torch.Generator().manual_seed(0)) > 0.5
    once = near.mirror(which, MIRROR)
    twice = once.mirror(which, MIRROR)
    for field in fields(near):
        first, back = getattr(near, field.name), getattr(twice, field.name)
        assert torch.equal(first, back)
        assert torch.equal(getattr(once, field.name)[~which], first[~which])
    assert not torch.equal(once.layouts[which], near.layouts[which])


def test_random_neighbours_are_the_photos_own_and_never_forbidden():
    gallery = grouped()
    photos = [vehicle.photo for vehicle in gallery.vehicles]
    queries = keys_of(gallery.exemplars.keys)
    near = RandomGallery.of(gallery).neighbours(queries, 5, photos)
    again = RandomGallery.of(gallery).neighbours(keys_of(queries.keys.roll(3, 0)), 5, photos[::-1])
    assert near.exists.all()
    assert torch.equal(again.layouts, near.layouts.flip(0))
    assert len({str(x.flatten().tolist()) for x in near.layouts}) > 15
    layouts = gallery.exemplars.layouts.float() / 255
    for photo, found in zip(photos, near.layouts, strict=True):
        rows = [next(i for i, x in enumerate(layouts) if torch.equal(x, one)) for one in found]
        assert len(set(rows)) == 5
        others = [photos[row] for row in rows]
        assert photo not in others
        assert all(o.group != photo.group for o in others if photo.group is not None)
        assert all(o.hash != photo.hash for o in others if photo.hash is not None)


def test_random_neighbours_say_how_similar_they_are():
    gallery = filled()
    queries = exemplars(3, seed=5).keys
    near = RandomGallery.of(gallery).neighbours(
        keys_of(queries), 20, [Photo("a"), Photo("b"), None]
    )
    assert torch.allclose(near.similarity.sum(1), (queries @ exemplars(20).keys.T).sum(1))


def test_group_mates_and_copies_are_no_neighbours():
    gallery = grouped()
    photos = [vehicle.photo for vehicle in gallery.vehicles]
    rows, _ = gallery.search(gallery.exemplars.keys, 25, photos)
    for photo, found in zip(photos, rows.tolist(), strict=True):
        others = [gallery.vehicles[row].photo for row in found if row >= 0]
        assert photo not in others
        if photo.group is not None:
            assert len(others) == 20
            assert all(other.group != photo.group for other in others)
        else:
            assert len(others) == 23
            assert all(other.hash != photo.hash for other in others)


def test_neighbours_are_found_behind_any_number_of_group_mates():
    gallery = Gallery({})
    known = exemplars(400)
    known.keys[:] = known.keys[:1]
    known.keys[-1] *= -1
    photos = [Photo(f"video/{i}", group="video") for i in range(399)] + [Photo("other/1")]
    gallery.update([*map(Vehicle, photos)], known)
    rows, similarities = gallery.search(known.keys[:2], 3, [photos[0], None])
    assert rows[0].tolist() == [399, -1, -1]
    assert torch.allclose(similarities[0], torch.tensor([-1.0, -1, -1]))
    assert (rows[1] >= 0).all()
