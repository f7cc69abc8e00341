import torch

from sav.bench.held_out_model import HeldOutSAV
from sav.bench.unsupervised import class_margins
from sav.d2 import build_model
from sav.ontology.graph import touching_ids


def predict(model, inputs):
    model.reader.score_threshold = 0.0
    with torch.no_grad():
        return model(inputs)


def test_a_held_out_class_is_not_supervised_and_is_predicted_all_the_same(cfg, make_input):
    cfg.EXPERIMENT.HELD_OUT = ("Left front door",)
    model = HeldOutSAV(cfg)
    door = 6
    model([make_input("car/0", seed=0)])
    losses = model([make_input("car/1", seed=1)])
    sum(losses.values()).backward()
    assert model.graph.class_embedding.grad[door].abs().sum() == 0
    assert model.graph.class_embedding.grad[0].abs().sum() > 0
    assert model.context.gallery.exemplars.present[0].nonzero()[:, 0].tolist() == [0, 2]
    hidden = make_input("car/1", seed=1)
    hidden["instances"] = hidden["instances"][[0, 1, 2]]
    for name in ("loss_mask", "loss_presence"):
        assert torch.isclose(model([hidden])[name], losses[name], atol=1e-6)
    with torch.no_grad():
        model.graph.class_embedding[door] += 100.0  # never trained, so it does not count
    found = predict(model.eval(), [make_input("car/2", seed=2)])[0]["instances"]
    assert found.scores[found.pred_classes == door].isfinite().all()


def test_the_dense_classifier_predicts_held_out_classes_and_no_other(cfg, make_input):
    torch.manual_seed(0)
    model = build_model(cfg).eval()
    cfg.EXPERIMENT.HELD_OUT = ("Left front door",)
    other = HeldOutSAV(cfg).eval()
    other.load_state_dict(model.state_dict())
    door = other.queries.classes == 6
    with torch.no_grad():
        model.graph.class_embedding[6] = 0.0  # the held-out class has none
        photos = model.encode([make_input()])
        supervised = model.decode(photos, model.prompts(photos))
        found = other.decode(photos, other.prompts(photos))
        margins = class_margins(found.class_logits[-1], other.supervised)[:, 6]
    assert torch.equal(found.masks[:, ~door], supervised.masks[:, ~door])
    assert torch.equal(found.presence[:, ~door], supervised.presence[:, ~door])
    assert torch.equal(found.masks[:, door][:, 0], margins)
    near = torch.isin(other.queries.classes, torch.tensor(touching_ids(other.ontology)[6]))
    assert found.presence[0, door][0] == supervised.presence[0, near].max()
    assert (found.presence[0, door][1:] < -100).all()
