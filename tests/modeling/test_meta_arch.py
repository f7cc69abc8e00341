import copy

import pytest
import torch

from sav.d2 import build_model
from sav.errors import SAVError
from sav.retrieval import Gallery


def train_on(model, batch):
    """The losses of a training step, whose photos then are in the gallery."""
    losses = model(batch)
    model.gallery.add_views([model.views])
    model.views = []
    return losses


@pytest.fixture
def trained(model, make_input):
    """A model that has seen a few photos: nothing is at its initial value by chance."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    for step in range(3):
        losses = train_on(model, [make_input(f"car/{i}", seed=10 * step + i) for i in range(4)])
        optimizer.zero_grad()
        sum(losses.values()).backward()
        optimizer.step()
    return model.eval()


def predict(model, inputs):
    model.score_threshold = 0.0
    with torch.no_grad():
        return model(inputs)


def same(first, second, atol=1e-4):
    a, b = first["instances"], second["instances"]
    return (
        len(a) == len(b)
        and torch.allclose(a.scores, b.scores, atol=atol)
        and (a.pred_masks != b.pred_masks).float().mean() < 1e-3
        and (first["part_map"] != second["part_map"]).float().mean() < 1e-3
    )


def test_training_gives_finite_losses_and_gradients_everywhere(model, make_input):
    train_on(model, [make_input(f"car/{i}", seed=i) for i in range(2)])
    losses = model([make_input(f"car/{i}", seed=i) for i in range(2)])
    assert set(losses) == {"loss_mask", "loss_dice", "loss_presence", "loss_iou", "loss_dense"}
    sum(losses.values()).backward()
    without = [n for n, p in model.named_parameters() if p.grad is None]
    assert without == []
    assert all(p.grad.isfinite().all() for p in model.parameters())


def test_training_fills_the_gallery_and_never_lends_a_photo_to_itself(model, make_input):
    batch = [make_input(f"car/{i}", seed=i) for i in range(3)]
    train_on(model, batch)
    assert model.gallery.keys == ["car/0", "car/1", "car/2"]
    asked = []
    search = model.gallery.search

    def spy(descriptors, count, exclude):
        rows, similarities = search(descriptors, count, exclude)
        asked.append((rows, exclude))
        return rows, similarities

    model.gallery.search = spy
    model(batch)
    (rows, exclude), *_ = asked
    assert [photo.key for photo in exclude] == model.gallery.keys
    assert (rows[:, :2] >= 0).all()
    assert all(i not in rows[i].tolist() for i in range(3))


def test_what_is_random_about_a_photo_depends_on_its_seed_alone(model, make_input):
    model.context_dropout = 0.5
    batch = [make_input(f"car/{i}", seed=i) for i in range(4)]
    train_on(model, batch)
    torch.manual_seed(1)
    first = model(batch)
    torch.manual_seed(2)
    again = model(batch)
    assert all(torch.equal(first[name], again[name]) for name in first)
    other = model([{**item, "seed": item["seed"] + 100} for item in batch])
    assert other["loss_mask"] != first["loss_mask"]


def test_labels_removed_or_changed_at_inference_change_nothing(trained, make_input):
    item = make_input("new/1", seed=1)
    bare = {key: item[key] for key in ("image", "height", "width")}
    lying = copy.deepcopy(item)
    lying["instances"].gt_classes[:] = 7
    lying["instances"].gt_masks.tensor[:] = True
    expected = predict(trained, [bare])[0]
    for variant in (item, lying):
        found = predict(trained, [variant])[0]
        assert torch.equal(found["part_map"], expected["part_map"])
        assert torch.equal(found["instances"].scores, expected["instances"].scores)
        assert torch.equal(found["instances"].pred_masks, expected["instances"].pred_masks)


def test_a_training_photo_is_evaluated_without_its_own_annotation(trained, make_input):
    rows = []
    search = trained.gallery.search

    def spy(descriptors, count, exclude):
        found = search(descriptors, count, exclude)
        rows.extend(found[0].tolist())
        return found

    trained.gallery.search = spy
    known, unknown = make_input("car/2", seed=2), make_input("other", seed=2)
    predict(trained, [known, unknown])
    own = trained.gallery.keys.index("car/2")
    assert own not in rows[0]
    assert own in rows[1]


def test_predicting_does_not_touch_the_gallery(trained, make_input):
    before = trained.gallery.entries.descriptors.clone()
    predict(trained, [make_input("new/1", seed=77)])
    assert torch.equal(trained.gallery.entries.descriptors, before)


def test_a_batch_gives_what_single_photos_give(trained, make_input):
    items = [
        make_input("a", 1),
        make_input("b", 2, height=40),
        make_input("c", 3, width=48),
    ]
    together = predict(trained, items)
    for item, found in zip(items, together, strict=True):
        assert found["part_map"].shape == (item["height"], item["width"])
        assert same(found, predict(trained, [item])[0])


def test_an_empty_gallery_works(trained, make_input):
    trained.gallery = Gallery({})
    assert predict(trained, [make_input()])[0]["instances"].scores.isfinite().all()


@pytest.mark.parametrize("key", ["GRAPH", "CONTEXT"])
def test_components_can_be_switched_off(cfg, make_input, key):
    cfg.MODEL.SAV[key].ENABLED = False
    model = build_model(cfg)
    assert all(loss.isfinite() for loss in model([make_input()]).values())
    assert len(predict(model.eval(), [make_input()])) == 1


def test_absent_parts_are_not_predicted_after_training(cfg, make_input):
    """Overfit one photo without plates and doors on the right: none may be found in it."""
    cfg.MODEL.SAV.CONTEXT.ENABLED = False
    model = build_model(cfg)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    item = make_input()
    for step in range(160):
        optimizer.zero_grad()
        sum(model([{**item, "seed": step}]).values()).backward()
        optimizer.step()
    with torch.no_grad():
        found = model.eval()([item])[0]
    confident = found["instances"][found["instances"].scores > 0.3]
    assert set(confident.pred_classes.tolist()) == {0, 2, 6}
    assert set(found["part_map"].unique().tolist()) <= {0, 1, 3, 7}
    wheels = confident[confident.pred_classes == 2]
    assert len(wheels) == 2


def test_no_vehicle_no_parts(cfg, make_input):
    cfg.MODEL.SAV.CONTEXT.ENABLED = False
    model = build_model(cfg)
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3)
    empty = make_input("empty", seed=5)
    empty["instances"] = empty["instances"][[]]
    for _ in range(40):
        optimizer.zero_grad()
        sum(model([make_input(), empty]).values()).backward()
        optimizer.step()
    with torch.no_grad():
        found = model.eval()([empty])[0]
    assert (found["instances"].scores < 0.3).all()


def test_unknown_network_is_a_clear_error(cfg):
    cfg.MODEL.TIMM.NAME = "resnet_of_dreams"
    with pytest.raises(SAVError, match="resnet_of_dreams"):
        build_model(cfg)


def test_gallery_fingerprint_follows_the_weights(model):
    before = model.gallery_fingerprint()
    assert before == model.gallery_fingerprint()
    with torch.no_grad():
        next(model.encoder.parameters()).add_(1e-3)
    assert model.gallery_fingerprint()["encoder"] != before["encoder"]
