"""Each peer learns, and answers as SAV does."""

import pytest
import torch
from torch import nn

from sav.bench.peers import PEERS
from sav.bench.peers.body import BodyMaps
from sav.bench.peers.fpn import dice_loss
from sav.bench.peers.pieces import read_pieces
from sav.bench.peers.queries import match_any
from sav.bench.train import ExperimentTrainer
from sav.errors import SAVError
from sav.modeling.grouping import VehicleKinds
from sav.modeling.original_frame import Frame
from sav.modeling.sam.decoder import DecoderOutput
from sav.modeling.targets import Targets

from ..tiny import SIZE

SIDES = {"Left front door": 6, "Right front door": 7}


@pytest.fixture(params=PEERS)
def peer(request, cfg):
    cfg.EXPERIMENT.PEER = request.param
    model = ExperimentTrainer.build_model(cfg)
    assert type(model) is PEERS[request.param]
    return model


def learn(model, photos, steps):
    """The sums of the losses before each step."""
    optimizer = torch.optim.AdamW(model.parameters(), 5e-4)
    sums = []
    for _ in range(steps):
        losses = model(photos)
        total = sum(losses.values())
        assert total.isfinite(), losses
        optimizer.zero_grad()
        total.backward()
        optimizer.step()
        sums.append(float(total.detach()))
    return sums


def test_a_peer_learns_two_photos_with_all_its_weights(peer, make_input):
    photos = [make_input("car/0", seed=0), make_input("car/1", seed=1)]
    sums = learn(peer, photos, 20)
    assert sum(sums[-3:]) < 0.8 * sum(sums[:3])
    assert not [name for name, p in peer.named_parameters() if p.grad is None]


def test_a_photo_without_parts_reaches_every_weight(peer, make_input):
    empty = make_input()
    empty["instances"] = empty["instances"][[]]
    losses = peer([empty])
    sum(losses.values()).backward()
    assert all(loss.isfinite() for loss in losses.values())
    if not hasattr(peer, "detector"):  # torchvision's own gives some nothing then
        assert not [name for name, p in peer.named_parameters() if p.grad is None]


def test_a_peer_trains_and_predicts_in_half_precision(peer, make_input):
    with torch.autocast("cpu", torch.bfloat16):
        losses = peer([make_input()])
        sum(losses.values()).backward()
        assert all(loss.isfinite() for loss in losses.values())
        with torch.no_grad():
            (found,) = peer.eval()([make_input()])
    assert found["instances"].scores.dtype == torch.float32


def test_a_peer_answers_as_the_model_does(peer, make_input):
    photo = make_input(height=48)
    learn(peer, [photo], 80)
    with torch.no_grad():
        first, second = peer.eval()([photo, make_input("other", seed=1, width=32)])
    for answer, size in ((first, (96, 128)), (second, (128, 64))):
        assert answer["part_map"].shape == size
        assert answer["part_map"].dtype == torch.uint8
        assert answer["instances"].pred_masks.shape[1:] == size
    instances = first["instances"]
    assert len(instances) > 0
    assert instances.pred_masks.dtype == torch.bool
    assert instances.pred_boxes.tensor.shape == (len(instances), 4)
    assert len(instances.vehicle_ids) == len(instances)
    assert ((instances.scores >= 0) & (instances.scores <= 1)).all()
    assert (instances.scores.diff() <= 0).all()
    # The body is what it has learned first; it lies in the photo from 20, 8 to 96, 120.
    body = first["part_map"] == 1
    assert body[30:60, 12:36].float().mean() > 0.5
    assert body[:10].float().mean() < 0.2


def test_an_encoder_that_is_frozen_stays_as_it_is(cfg):
    cfg.EXPERIMENT.PEER = "fpn"
    cfg.SOLVER.TRAINED = ("classifier.",)
    model = ExperimentTrainer.build_model(cfg).train()
    assert not any(m.training for m in model.encoder.modules() if isinstance(m, nn.BatchNorm2d))
    assert model.classifier.training


def test_a_peer_of_a_graph_with_views_is_refused(cfg):
    cfg.EXPERIMENT.PEER = "fpn"
    cfg.MODEL.SAV.ONTOLOGY = "vehicle"
    with pytest.raises(SAVError, match=r"^MODEL\.SAV\.ONTOLOGY vehicle: .*dsmlr.*a flat one$"):
        ExperimentTrainer.build_model(cfg)


def test_a_photo_of_another_vocabulary_is_refused(cfg, make_input):
    cfg.EXPERIMENT.PEER = "fpn"
    with pytest.raises(SAVError, match="vocabulary 'dsmlr': the model knows vehicleseg10k"):
        ExperimentTrainer.build_model(cfg)([{**make_input(), "vocabulary": "dsmlr"}])


def test_an_unknown_peer_is_one_clear_line(cfg):
    cfg.EXPERIMENT.PEER = "fnp"
    with pytest.raises(SAVError, match=r"^EXPERIMENT\.PEER 'fnp': not known; choose one of fpn, "):
        ExperimentTrainer.build_model(cfg)


def test_a_pyramid_needs_maps(cfg):
    cfg.MODEL.BACKBONE.NAME = "SAMEncoder"
    with pytest.raises(SAVError, match=r"^MODEL\.BACKBONE\.NAME SAMEncoder: .* a TimmEncoder$"):
        BodyMaps.of(cfg)


def test_a_mirrored_class_is_another_class_to_a_peer(cfg, make_input):
    """No peer swaps sides by itself: the mapper alone knows what a mirrored photo shows."""
    cfg.EXPERIMENT.PEER = "fpn"
    model = ExperimentTrainer.build_model(cfg)
    left, right = make_input(), make_input()
    right["image"] = right["image"].flip(2)
    right["instances"].gt_masks.tensor = right["instances"].gt_masks.tensor.flip(2)
    right["instances"].gt_classes[3] = SIDES["Right front door"]
    learn(model, [left, right], 80)
    with torch.no_grad():
        maps = [answer["part_map"] for answer in model.eval()([left, right])]
    shown = [set(found.unique().tolist()) for found in maps]
    assert SIDES["Left front door"] + 1 in shown[0]
    assert SIDES["Right front door"] + 1 in shown[1]
    assert SIDES["Right front door"] + 1 not in shown[0]
    assert SIDES["Left front door"] + 1 not in shown[1]


def test_pieces_of_a_class_are_instances():
    logits = torch.full((3, 16, 16), -2.0)
    logits[1, 2:6, 2:6] = 3.0
    logits[1, 6, 6] = 3.0  # touches the first by a corner
    logits[1, 10:14, 9:15] = 1.0
    logits[2, 0:2, 12:16] = -0.1
    frame = Frame((16, 16), (16, 16), 16)
    found = read_pieces(
        *(logits, logits.sigmoid(), torch.tensor([1.0, 0.5, 1.0])),
        threshold=0.1,
        kinds=VehicleKinds(),
        frame=frame,
    )
    assert found.pred_classes.tolist() == [1, 1]
    assert found.pred_boxes.tensor.tolist() == [[2, 2, 7, 7], [9, 10, 15, 14]]
    expected = 0.5 * torch.tensor([3.0, 1.0]).sigmoid()
    assert torch.allclose(found.scores, expected)
    assert torch.equal(found.pred_masks.any(0), logits[1] > 0)


def test_nothing_has_no_pieces():
    logits = torch.full((3, 16, 16), -2.0)
    frame = Frame((16, 16), (16, 16), 16)
    found = read_pieces(
        *(logits, logits.sigmoid(), torch.ones(3)),
        threshold=0.1,
        kinds=VehicleKinds(),
        frame=frame,
    )
    assert len(found) == 0


def test_dice_is_of_the_classes_that_are_shown():
    labels = torch.zeros(1, 4, 4, dtype=torch.int64)
    labels[0, :2] = 2
    right = 100.0 * nn.functional.one_hot(labels, 4).movedim(3, 1).float()
    assert dice_loss(right, labels) == 0
    wrong = 100.0 * nn.functional.one_hot(3 - labels, 4).movedim(3, 1).float()
    # Of 8 pixels none is found: 1 - 1 / 9; class 3, which is predicted and absent, has no dice.
    assert torch.isclose(dice_loss(wrong, labels), torch.tensor(8 / 9))
    assert dice_loss(right, torch.zeros_like(labels)) == 0


def test_queries_are_matched_over_all_classes():
    """The mask decides where classes say nothing, and the class where masks are alike."""
    masks = torch.zeros(3, SIZE, SIZE)
    masks[0, :32], masks[1, 32:], masks[2, 32:] = 1.0, 1.0, 1.0
    target = Targets(torch.tensor([4, 0, 1]), masks, torch.zeros(SIZE, SIZE), [0, 0, 0])
    logits = torch.zeros(1, 4, 6)
    logits[0, 0, 1], logits[0, 3, 0] = 3.0, 3.0
    shown = 10 * torch.stack([masks[1], masks[0], torch.zeros_like(masks[0]), masks[2]]) - 5
    output = DecoderOutput(shown[None], logits, torch.zeros(1, 4), torch.zeros(1, 32, 1, 1))
    matches = match_any(output, [target])
    pairs = zip(matches.query.tolist(), matches.instance.tolist(), strict=True)
    assert set(pairs) == {(0, 2), (1, 0), (3, 1)}


def test_the_pyramid_has_the_maps_from_stride_four_on(cfg):
    maps = BodyMaps.of(cfg)(torch.zeros(1, 3, 64, 64))
    assert [(name, value.shape[2]) for name, value in maps.items()] == [
        ("4", 16),
        ("8", 8),
        ("16", 4),
        ("32", 2),
    ]
