import pytest
import torch
from torch.nn import functional as F

from sav.d2 import build_model
from sav.errors import SAVError
from sav.gallery.exemplars import Neighbours
from sav.gallery.store import Gallery
from sav.modeling.context.corrector import REDUCTION, ContextCorrector
from sav.modeling.context.evidence import Evidence, EvidenceEncoder
from sav.modeling.context.vehicles import PredictedVehicles
from sav.modeling.sam.decoder import DecoderOutput

B, C, H = 2, 3, 32
G = H // REDUCTION
QUERY_CLASSES = torch.tensor([0, 1, 1, 2])


def decoded(seed=0, requires_grad=False):
    draw = torch.Generator().manual_seed(seed)
    masks = torch.randn(B, len(QUERY_CLASSES), H, H, generator=draw) * 3
    presence, iou = torch.randn(2, B, len(QUERY_CLASSES), generator=draw)
    output = DecoderOutput(masks, presence, iou, torch.randn(B, 32, H, H, generator=draw))
    for value in (output.masks, output.presence, output.iou):
        value.requires_grad_(requires_grad)
    return output


def shown(seed=1, exists=(True, True)):
    draw = torch.Generator().manual_seed(seed)
    there = torch.tensor(exists)[:, None].repeat(1, C)
    maps = torch.rand(3, B, C, G, G, generator=draw) * there[..., None, None]
    seen, trust = torch.rand(B, C, generator=draw), torch.rand(B, generator=draw)
    return Evidence(maps[0], maps[1] - maps[0], maps[2], seen, trust * there[:, 0], there)


def parts(seed=2):
    return torch.rand(B, C, G, G, generator=torch.Generator().manual_seed(seed))


@pytest.fixture
def corrector():
    """As if trained: none of its weights is zero."""
    torch.manual_seed(0)
    made = ContextCorrector(query_classes=QUERY_CLASSES)
    for parameter in made.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return made


def corrections(before, after):
    return [getattr(after, n) - getattr(before, n) for n in ("masks", "presence", "iou")]


def test_without_neighbours_nothing_changes_by_a_bit(corrector):
    before = decoded()
    after = corrector(before, parts(), shown(exists=(False, True)))
    for name in ("masks", "presence", "iou"):
        assert torch.equal(getattr(after, name)[0], getattr(before, name)[0])
        assert (getattr(after, name)[1] != getattr(before, name)[1]).any()
    assert after.features is before.features


def test_an_untrained_corrector_changes_nothing():
    before = decoded()
    after = ContextCorrector(query_classes=QUERY_CLASSES)(before, parts(), shown())
    assert all((change == 0).all() for change in corrections(before, after))


def test_certain_masks_and_parts_stay_finite(corrector):
    before = decoded()
    before.masks[:] = 500.0
    before.presence[:] = 500.0
    after = corrector(before, torch.ones(B, C, G, G), shown())
    assert all(change.isfinite().all() for change in corrections(before, after))


def test_it_sends_nothing_back_into_the_decoder(corrector):
    before = decoded(requires_grad=True)
    after = corrector(before, parts(), shown())
    (after.masks.sum() + after.presence.sum() + after.iou.sum()).backward()
    assert before.masks.grad is before.presence.grad is before.iou.grad is None
    assert all((p.grad != 0).any() for p in corrector.parameters())


def test_without_neighbours_every_parameter_has_a_finite_gradient(corrector):
    encoder = EvidenceEncoder(dim=16)
    none = Neighbours.none(B, C, 16, 18, torch.device("cpu"))
    boxes = torch.tensor([[0.0, 0.0, 1.0, 1.0]]).expand(B, 4)
    vehicles = PredictedVehicles(torch.arange(B), parts(), boxes)
    before = decoded()
    after = corrector(before, parts(), encoder(none, torch.randn(B, 16, 4, 4), vehicles, G))
    assert all((change == 0).all() for change in corrections(before, after))
    (after.masks.sum() + after.presence.sum() + after.iou.sum()).backward()
    used = [*encoder.parameters(), *corrector.parameters()]
    assert all(p.grad is not None and p.grad.isfinite().all() for p in used)


def test_no_class_is_preferred(corrector):
    """Classes and their queries in another order: the same corrections in that order."""
    classes, queries = torch.tensor([2, 1, 0]), torch.tensor([3, 2, 1, 0])
    before, evidence = decoded(), shown()
    expected = corrections(before, corrector(before, parts(), evidence))
    turned = DecoderOutput(
        *(getattr(before, name)[:, queries] for name in ("masks", "presence", "iou")),
        before.features,
    )
    maps = (evidence.layout, evidence.error, evidence.appearance, evidence.visibility)
    known = evidence.known[:, classes]
    said = Evidence(*(x[:, classes] for x in maps), evidence.similarity, known)
    found = corrections(turned, corrector(turned, parts()[:, classes], said))
    for change, other in zip(expected, found, strict=True):
        torch.testing.assert_close(change[:, queries], other, atol=1e-5, rtol=1e-5)


def test_photos_are_corrected_each_by_itself(corrector):
    before, evidence = decoded(), shown()
    after = corrector(before, parts(), evidence)
    other = shown(seed=9)
    for value, changed in zip(vars(evidence).values(), vars(other).values(), strict=True):
        value[1] = changed[1]
    again = corrector(before, parts(), evidence)
    assert torch.allclose(after.masks[0], again.masks[0], atol=1e-6)
    assert not torch.allclose(after.masks[1], again.masks[1], atol=1e-3)


def test_it_learns_to_follow_its_neighbours():
    """The decoder predicts nothing; the neighbours show every part where it is."""
    torch.manual_seed(0)
    corrector = ContextCorrector(query_classes=torch.arange(C))
    optimizer = torch.optim.AdamW(corrector.parameters(), lr=1e-2)
    zeros = torch.zeros(B, C)
    blind = DecoderOutput(torch.zeros(B, C, H, H), zeros, zeros, torch.zeros(B, 32, H, H))
    for seed in range(80):
        evidence = shown(seed)
        truth = F.interpolate((evidence.layout > 0.5).float(), size=(H, H))
        masks = corrector(blind, torch.full((B, C, G, G), 0.25), evidence).masks
        loss = F.binary_cross_entropy_with_logits(masks, truth)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert ((masks > 0) == truth.bool()).float().mean() > 0.85


def trained_parts(context):
    """The weights that start at zero among them."""
    modules = [m for m in (context.corrector, context.exemplar_prompts) if m is not None]
    return [parameter for module in modules for parameter in module.parameters()]


@pytest.fixture
def retrieve(cfg, make_input):
    """Takes a training step and predicts, with a number of neighbours in a gallery of six."""

    def run(*options):
        cfg.merge_from_list(["MODEL.SAV.TEST.SCORE_THRESHOLD", 0.0, *options])
        torch.manual_seed(0)
        model = build_model(cfg)
        for parameter in trained_parts(model.context):
            torch.nn.init.normal_(parameter, std=0.3)
        batch = [make_input(f"car/{i}", seed=i) for i in range(6)]
        made = model.eval().exemplars(batch)
        model.context.gallery.update(made.vehicles, made.exemplars)
        losses = model.train()(batch[:2])
        sum(losses.values()).backward()
        return model.eval(), losses, model(batch[:2])

    return run


def test_training_on_thinner_galleries(retrieve):
    _, losses, _ = retrieve("MODEL.SAV.CONTEXT.NEIGHBOURS", 2)
    _, thinner, _ = retrieve("MODEL.SAV.CONTEXT.NEIGHBOURS", 2, "MODEL.SAV.CONTEXT.THINNING", 64)
    assert losses["loss_context"] != thinner["loss_context"]
    assert all(losses[name] == thinner[name] for name in losses.keys() - {"loss_context"})


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("SHARE", 0.0),
        ("SHARE", 1.5),
        ("THINNING", 0),
        ("THINNING", 3),
        ("CAPACITY", 0),
        ("NEIGHBOURS", -1),
        ("FORGET", 1.0),
        ("APPEARANCE", -0.5),
    ],
)
def test_training_settings_that_make_no_sense_are_errors(retrieve, key, value):
    with pytest.raises(SAVError, match=f"CONTEXT.{key}: {value}"):
        retrieve(f"MODEL.SAV.CONTEXT.{key}", value)


FUSION = pytest.mark.parametrize("fusion", ["prompts", "corrector", "both"])


@FUSION
@pytest.mark.parametrize("count", [0, 1, 8, 32])
def test_any_number_of_neighbours(retrieve, count, fusion):
    options = ("MODEL.SAV.CONTEXT.NEIGHBOURS", count, "MODEL.SAV.CONTEXT.FUSION", fusion)
    model, losses, predicted = retrieve(*options)
    assert all(loss.isfinite() for loss in losses.values())
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())
    assert all(item["instances"].scores.isfinite().all() for item in predicted)


@FUSION
def test_no_neighbours_are_as_an_empty_gallery(retrieve, make_input, fusion):
    options = ("MODEL.SAV.CONTEXT.NEIGHBOURS", 0, "MODEL.SAV.CONTEXT.FUSION", fusion)
    model, _, predicted = retrieve(*options)
    model.context.gallery = Gallery({})
    model.context.neighbours = 8
    again = model([make_input(f"car/{i}", seed=i) for i in range(2)])
    for first, second in zip(predicted, again, strict=True):
        assert torch.equal(first["part_map"], second["part_map"])
        assert torch.equal(first["instances"].scores, second["instances"].scores)


@FUSION
def test_the_other_weights_learn_as_if_there_were_no_gallery(retrieve, fusion):
    options = ("MODEL.SAV.CONTEXT.FUSION", fusion)
    with_gallery, losses, _ = retrieve(*options)
    without, same, _ = retrieve("MODEL.SAV.CONTEXT.NEIGHBOURS", 0, *options)
    for name in losses.keys() - {"loss_context"}:
        assert losses[name] == same[name]
    assert losses["loss_context"] != same["loss_context"]
    second = dict(without.named_parameters())
    for name, parameter in with_gallery.named_parameters():
        if not name.startswith("context."):
            assert torch.equal(parameter.grad, second[name].grad), name


@FUSION
def test_an_untrained_fusion_changes_nothing(cfg, make_input, fusion):
    cfg.merge_from_list(["MODEL.SAV.TEST.SCORE_THRESHOLD", 0.0, "MODEL.SAV.CONTEXT.FUSION", fusion])
    torch.manual_seed(0)
    model = build_model(cfg).eval()
    batch = [make_input(f"car/{i}", seed=i) for i in range(4)]
    before = model(batch[:2])
    made = model.exemplars(batch)
    model.context.gallery.update(made.vehicles, made.exemplars)
    for first, second in zip(before, model(batch[:2]), strict=True):
        assert torch.equal(first["part_map"], second["part_map"])
        assert torch.equal(first["instances"].scores, second["instances"].scores)


def test_an_unknown_fusion_is_an_error(retrieve):
    with pytest.raises(SAVError, match="FUSION: 'prompt' is none of prompts, corrector, both"):
        retrieve("MODEL.SAV.CONTEXT.FUSION", "prompt")


def test_forgetting_changes_what_training_sees_and_nothing_else(retrieve):
    _, losses, predicted = retrieve("MODEL.SAV.CONTEXT.FORGET", 0.0)
    _, others, same = retrieve("MODEL.SAV.CONTEXT.FORGET", 0.9)
    assert losses["loss_context"] != others["loss_context"]
    for first, second in zip(predicted, same, strict=True):
        assert torch.equal(first["part_map"], second["part_map"])


def test_an_exemplar_knows_what_its_vocabulary_has(cfg, make_input):
    cfg.merge_from_list(["MODEL.SAV.ONTOLOGY", "vehicle"])
    model = build_model(cfg).eval()
    inputs = [make_input("a/0"), {**make_input("b/0"), "vocabulary": "dsmlr"}]
    known = model.exemplars(inputs).exemplars.known
    roof = model.ontology.class_id("roof")
    assert known[0].all()
    assert not known[1, roof]
