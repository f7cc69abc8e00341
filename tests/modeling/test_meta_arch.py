import copy
from pathlib import Path

import pytest
import torch
import yaml

import sav.ontology
from sav.d2 import build_model
from sav.errors import SAVError
from sav.gallery.store import Gallery
from sav.modeling.weights import gallery_fingerprint, load_weights, save_weights
from sav.ontology import load_ontology
from sav.ontology.text import TEXT_MODEL, save_text_embeddings, text_embeddings


@pytest.fixture
def trained(model, make_input):
    """A model that has seen a few photos: nothing is at its initial value by chance."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-4)
    for step in range(3):
        losses = model([make_input(f"car/{i}", seed=10 * step + i) for i in range(4)])
        optimizer.zero_grad()
        sum(losses.values()).backward()
        optimizer.step()
    with torch.no_grad():
        model.decoder.mask_bias.fill_(3.0)  # so that masks are not empty
    return model.eval()


def predict(model, inputs):
    model.reader.score_threshold = 0.0
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
    model([make_input(f"car/{i}", seed=i) for i in range(2)])
    losses = model([make_input(f"car/{i}", seed=i) for i in range(2)])
    names = ("mask", "dice", "presence", "iou", "dense", "context")
    assert set(losses) == {f"loss_{name}" for name in names}
    sum(losses.values()).backward()
    without = [n for n, p in model.named_parameters() if p.grad is None]
    assert without == []
    assert all(p.grad.isfinite().all() for p in model.parameters())


def test_plain_training_steps_fill_the_gallery(model, make_input):
    """No special trainer: forward passes alone give the context module its exemplars."""
    for step in range(5):
        batch = [make_input(f"car/{step}/{i}", seed=10 * step + i) for i in range(2)]
        sum(model(batch).values()).backward()
    assert model.context.gallery.vehicles.photo_ids == [
        f"car/{s}/{i}" for s in range(5) for i in range(2)
    ]
    model([make_input("car/0/0", seed=99)])
    assert len(model.context.gallery) == 10


def test_the_training_gallery_is_bounded(model, make_input):
    model.context.capacity = 3
    for step in range(2):
        model([make_input(f"car/{i}", seed=step) for i in range(2 * step + 2)])
    assert model.context.gallery.vehicles.photo_ids == ["car/0", "car/1", "car/2"]


def test_without_gradients_nothing_is_remembered(model, make_input):
    with torch.no_grad():
        model([make_input()])
    assert len(model.context.gallery) == 0


def test_parts_of_one_step_do_not_see_each_other(model, make_input):
    batch = [make_input(f"car/{i}", seed=i) for i in range(4)]
    with model.context.one_step():
        for part in (batch[:2], batch[2:]):
            model(part)
            assert len(model.context.gallery) == 0
    assert model.context.gallery.vehicles.photo_ids == [f"car/{i}" for i in range(4)]


def test_a_frozen_model_can_be_switched_to_prediction(model):
    assert not model.requires_grad_(False).eval().training


def test_a_training_photo_never_retrieves_itself(model, make_input):
    batch = [make_input(f"car/{i}", seed=i) for i in range(3)]
    model(batch)
    assert model.context.gallery.vehicles.photo_ids == ["car/0", "car/1", "car/2"]
    asked = []
    search = model.context.gallery.search

    def spy(descriptors, count, exclude):
        rows, similarities = search(descriptors, count, exclude)
        asked.append((rows, exclude))
        return rows, similarities

    model.context.gallery.search = spy
    model(batch)
    (rows, exclude), *_ = asked
    assert [
        photo.id for photo in exclude
    ] == 2 * model.context.gallery.vehicles.photo_ids  # and in the mirror
    assert (rows[:, :2] >= 0).all()
    assert all(i not in rows[[i, 3 + i]].flatten().tolist() for i in range(3))


def test_what_is_random_about_a_photo_depends_on_its_seed_alone(model, make_input):
    batch = [make_input(f"car/{i}", seed=i) for i in range(4)]
    model(batch)
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
    search = trained.context.gallery.search

    def spy(descriptors, count, exclude):
        found = search(descriptors, count, exclude)
        rows.extend(found[0].tolist())
        return found

    trained.context.gallery.search = spy
    known, unknown = make_input("car/2", seed=2), make_input("other", seed=2)
    predict(trained, [known, unknown])
    own = trained.context.gallery.vehicles.photo_ids.index("car/2")
    assert own not in rows[0] + rows[2]
    assert own in rows[1]


def test_predicting_does_not_touch_the_gallery(trained, make_input):
    before = trained.context.gallery.exemplars.keys.clone()
    predict(trained, [make_input("new/1", seed=77)])
    assert torch.equal(trained.context.gallery.exemplars.keys, before)


def test_a_batch_gives_what_single_photos_give(trained, make_input):
    items = [
        make_input("a", 1),
        make_input("b", 2, height=40),
        make_input("c", 3, width=48),
    ]
    together = predict(trained, items)
    for item, found in zip(items, together, strict=True):
        assert found["part_map"].shape == (item["height"], item["width"])
        assert len(found["instances"])
        assert same(found, predict(trained, [item])[0])


def test_an_empty_gallery_works(trained, make_input):
    trained.context.gallery = Gallery({})
    assert predict(trained, [make_input()])[0]["instances"].scores.isfinite().all()


def test_padding_changes_nothing(trained, make_input):
    """A photo that fills its canvas with the mean colour is the photo that was padded by us."""
    item = make_input("new/1", seed=1, width=40)
    mean = trained.preprocess.mean.round()
    with torch.no_grad():
        trained.preprocess.mean.copy_(mean)
    padded = mean.to(torch.uint8).expand(3, 64, 64).clone()
    padded[:, :, :40] = item["image"]
    expected = predict(trained, [item])[0]["part_map"]
    found = predict(trained, [{**item, "image": padded, "width": 128}])[0]["part_map"]
    assert expected.shape == (128, 80)
    assert torch.equal(found[:, :80], expected)


def test_the_order_of_the_classes_in_the_ontology_does_not_matter(
    trained, cfg, make_input, tmp_path, monkeypatch
):
    """The same classes in reverse order, in a vocabulary file of its own: the same answers."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    shipped = Path(sav.ontology.__file__).with_name("vehicleseg10k.yaml")
    contents = yaml.safe_load(shipped.read_text("utf-8"))
    contents["classes"].reverse()
    for number, part in enumerate(contents["classes"]):
        part["id"] = number
    reverse = tmp_path / "reverse.yaml"
    reverse.write_text(yaml.safe_dump(contents, sort_keys=False), "utf-8")
    ontology = load_ontology(str(reverse))
    by_name = dict(
        zip(
            [node.name for node in trained.ontology.nodes],
            text_embeddings(trained.ontology, TEXT_MODEL),
            strict=True,
        )
    )
    vectors = torch.stack([by_name[node.name] for node in ontology.nodes])
    save_text_embeddings(ontology, vectors, tmp_path / "sav" / "text_embeddings", TEXT_MODEL)
    cfg.MODEL.SAV.ONTOLOGY = str(reverse)
    other = build_model(cfg).eval()
    weights = tmp_path / "model.safetensors"
    save_weights(trained, weights)
    load_weights(other, weights, adapt=True)
    for gallery_of in (trained, other):
        gallery_of.context.gallery = Gallery({})
    item = make_input("new", 5)
    expected, found = predict(trained, [item])[0], predict(other, [item])[0]
    last = len(ontology) - 1
    assert torch.allclose(found["instances"].scores, expected["instances"].scores, atol=1e-4)
    assert torch.equal(last - found["instances"].pred_classes, expected["instances"].pred_classes)
    background = expected["part_map"] == 0
    assert torch.equal(found["part_map"] == 0, background)
    agreeing = last + 2 - found["part_map"].int() == expected["part_map"].int()
    assert agreeing[~background].all()


def test_fewer_slots_give_fewer_instances_of_a_class(cfg, make_input):
    cfg.MODEL.SAV.MAX_SLOTS = 1
    model = build_model(cfg).eval()
    found = predict(model, [make_input()])[0]["instances"]
    assert found.pred_classes.bincount().max() <= 1


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
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-4)
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


@pytest.mark.parametrize("shape", [(3, 48, 60), (3, 48, 96), (1, 64, 64), (64, 64)])
def test_a_photo_that_is_not_of_the_model_s_size_is_a_clear_error(model, make_input, shape):
    item = {**make_input(), "image": torch.zeros(shape, dtype=torch.uint8)}
    with pytest.raises(SAVError, match=r"^image has shape \(.*\); give .* longer side 64, the"):
        model.eval()([make_input(), item])


def test_unknown_network_is_a_clear_error(cfg):
    cfg.MODEL.TIMM.NAME = "resnet_of_dreams"
    with pytest.raises(SAVError, match="resnet_of_dreams"):
        build_model(cfg)


def test_gallery_fingerprint_follows_the_weights(model):
    before = gallery_fingerprint(model)
    assert before == gallery_fingerprint(model)
    with torch.no_grad():
        next(model.context.parameters()).add_(1e-3)  # what is remembered does not depend on it
        assert gallery_fingerprint(model) == before
        next(model.decoder.parameters()).add_(1e-3)
    assert gallery_fingerprint(model)["weights"] != before["weights"]
