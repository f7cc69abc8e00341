"""Configuration keys that SAV adds to Detectron2's."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import yaml

from sav.d2 import CfgNode, get_cfg
from sav.errors import SAVError
from sav.ontology.text import TEXT_MODEL


def add_sav_config(cfg: CfgNode) -> None:
    """Add SAV's keys, with their defaults, before a config file is merged.

    Args:
        cfg: what ``get_cfg()`` returned; changed in place.
    """
    cfg.INPUT.FORMAT = "RGB"
    cfg.MODEL.META_ARCHITECTURE = "SAV"
    cfg.MODEL.PIXEL_MEAN = [123.675, 116.28, 103.53]
    cfg.MODEL.PIXEL_STD = [58.395, 57.12, 57.375]
    _add_data(cfg)
    _add_encoders(cfg)
    _add_model(cfg)
    _add_training(cfg)
    # What an experiment of `sav bench` changes, see sav/bench/train.py.
    cfg.EXPERIMENT = CfgNode(new_allowed=True)


def _add_data(cfg: CfgNode) -> None:
    # Annotation files are given relative to ROOT.
    cfg.DATASETS.ROOT = os.environ.get("SAV_DATASETS", "datasets")
    # Data set name -> annotation file. A new data set is a new line in a config.
    cfg.DATASETS.PARTS = CfgNode(new_allowed=True)
    # For each of DATASETS.TRAIN its share of the photos that are seen, at the beginning of training
    # and at its end, such as ((0.2, 0.8), (0.8, 0.2)); empty: all photos are seen equally often.
    cfg.DATASETS.TRAIN_SHARES = ()

    cfg.INPUT.SAV = CfgNode()
    cfg.INPUT.SAV.SIZE = 1024  # canvas side S in pixels, a multiple of 16
    cfg.INPUT.SAV.FLIP_PROB = 0.5
    cfg.INPUT.SAV.SCALE = (0.72, 1.5)
    cfg.INPUT.SAV.ASPECT = (0.85, 1.18)
    cfg.INPUT.SAV.ROTATION = 7.0  # degrees, either way
    cfg.INPUT.SAV.SHIFT = 0.15  # of the canvas, either way
    cfg.INPUT.SAV.COLOR = 0.5  # strength of the colour jitter in [0, 1]
    cfg.INPUT.SAV.GREY_PROB = 0.1
    cfg.INPUT.SAV.CAMERA = 0.0  # strength of poor exposure, smears and JPEG in [0, 1]
    cfg.INPUT.SAV.OCCLUDER_PROB = 0.0
    cfg.INPUT.SAV.BACKGROUND_PROB = 0.0  # of a photo whose vehicles are put in front of another one
    cfg.INPUT.SAV.BACKGROUND_SCALE = (1.0, 1.0)  # of the vehicles there, at most 1
    cfg.INPUT.SAV.BACKGROUNDS = ()  # data sets without a vehicle that lend these


def _add_encoders(cfg: CfgNode) -> None:
    cfg.MODEL.BACKBONE.NAME = "TimmEncoder"

    cfg.MODEL.TIMM = CfgNode()
    cfg.MODEL.TIMM.NAME = "resnet10t"
    cfg.MODEL.TIMM.PRETRAINED = False  # whether timm downloads weights
    # A file, or an installed package, see sav/modeling/encoders/pretrained.py; empty: random
    # weights.
    cfg.MODEL.TIMM.CHECKPOINT = ""
    cfg.MODEL.TIMM.FREEZE_AT = 0  # how many stages learn nothing; the stem is the first
    cfg.MODEL.TIMM.NORM_EVAL = False  # batch norms keep their running statistics in training
    cfg.MODEL.TIMM.STRIDE = 16  # of the embedding, or 8
    cfg.MODEL.TIMM.OPTIONS = CfgNode(new_allowed=True)  # keyword arguments of timm.create_model

    cfg.MODEL.SAM = CfgNode()
    cfg.MODEL.SAM.TYPE = "vit_b"
    cfg.MODEL.SAM.CHECKPOINT = ""  # path of the official sam_vit_*.pth; empty: random weights
    cfg.MODEL.SAM.MASK_TOKEN = 0  # which of SAM's mask tokens part queries go on from, 0 to 3
    cfg.MODEL.SAM.TUNING = "frozen"  # or "lora", or "full"
    cfg.MODEL.SAM.LORA = CfgNode({"RANK": 8, "ALPHA": 16.0, "DROPOUT": 0.0})


def _add_model(cfg: CfgNode) -> None:
    cfg.MODEL.SAV = CfgNode()
    # A shipped name, or the path of a YAML file.
    cfg.MODEL.SAV.ONTOLOGY = "vehicleseg10k"
    cfg.MODEL.SAV.VIEWS = ()  # files of further vocabularies that are views of it

    cfg.MODEL.SAV.MAX_SLOTS = 16  # instances of one class, where the ontology allows more
    cfg.MODEL.SAV.GRAPH = CfgNode()
    cfg.MODEL.SAV.GRAPH.ENABLED = True
    cfg.MODEL.SAV.GRAPH.LAYERS = 2
    cfg.MODEL.SAV.GRAPH.TEXT_MODEL = TEXT_MODEL
    cfg.MODEL.SAV.GRAPH.PRIORS = ""  # file of `sav graph mine`, which weighs the relations

    cfg.MODEL.SAV.CONTEXT = CfgNode()
    cfg.MODEL.SAV.CONTEXT.ENABLED = True
    cfg.MODEL.SAV.CONTEXT.NEIGHBOURS = 8
    # Share of training photos that retrieve exemplars and become some: the context module is small
    # and learns fast, so not all need to.
    cfg.MODEL.SAV.CONTEXT.SHARE = 0.25
    # Training photos search galleries that are up to so many times thinner, a power of two, so
    # that the model learns what small galleries are worth. 1: into the whole one.
    cfg.MODEL.SAV.CONTEXT.THINNING = 64
    # Probability that a training photo's neighbours say nothing of a class, as if their vocabulary
    # lacked it: the model learns to do without.
    cfg.MODEL.SAV.CONTEXT.FORGET = 0.1
    # Weight of a vehicle's appearance in its retrieval key, in [0, 1]; the rest is its layout's.
    cfg.MODEL.SAV.CONTEXT.APPEARANCE = 0.0
    # How neighbours change the decoder's output: as "prompts" of a second decoding, by a small
    # "corrector" behind it, or "both".
    cfg.MODEL.SAV.CONTEXT.FUSION = "corrector"
    cfg.MODEL.SAV.CONTEXT.CAPACITY = 20000  # exemplars that training keeps at most

    cfg.MODEL.SAV.DECODER = CfgNode({"DEPTH": 2, "HEADS": 8, "MLP_DIM": 2048})

    cfg.MODEL.SAV.LOSS = CfgNode()
    cfg.MODEL.SAV.LOSS.MASK = 5.0
    cfg.MODEL.SAV.LOSS.DICE = 3.0
    cfg.MODEL.SAV.LOSS.PRESENCE = 2.0
    cfg.MODEL.SAV.LOSS.IOU = 1.0
    cfg.MODEL.SAV.LOSS.DENSE = 1.0  # cross-entropy on the encoder's and the decoder's features
    # The context module learns apart from the rest: the weight only keeps its gradient from using
    # up what SOLVER.CLIP_GRADIENTS leaves to the others.
    cfg.MODEL.SAV.LOSS.CONTEXT = 0.1
    cfg.MODEL.SAV.LOSS.POINTS = 12544  # sampled for each matched mask

    cfg.MODEL.SAV.TEST = CfgNode()
    cfg.MODEL.SAV.TEST.GALLERY = ""  # folder; empty: evaluation builds one of DATASETS.TRAIN
    cfg.MODEL.SAV.TEST.BATCH = 8  # photos a forward pass
    cfg.MODEL.SAV.TEST.SCORE_THRESHOLD = 0.05
    # Slope and intercept over the logits of scores, so that a score is the probability of being
    # right; benchmarks/calibration.py finds them.
    cfg.MODEL.SAV.TEST.CALIBRATION = (1.0, 0.0)
    # Vehicles whose long side is a smaller share of their photo's, and those that lie apart but
    # share masks, are cut out and predicted again. 0 for none.
    cfg.MODEL.SAV.TEST.CROPS = 0.6
    cfg.MODEL.SAV.TEST.TILES = False  # whether to look for vehicles in tiles of the photo, too
    cfg.MODEL.SAV.TEST.VOCABULARY = ""  # the view to predict in; empty: its own parts
    cfg.MODEL.SAV.TEST.BACKGROUND = 0.4  # a pixel belongs to a part when its probability is higher


def _add_training(cfg: CfgNode) -> None:
    # Starts of the names of the parameters that learn, such as "context."; empty: all.
    cfg.SOLVER.TRAINED = ()
    # Pairs of (start of a parameter's name, value), such as ("encoder.body", 0.1).
    cfg.SOLVER.LR_MULTIPLIERS = ()
    cfg.SOLVER.WEIGHT_DECAYS = ()
    cfg.SOLVER.LAYER_DECAY = 1.0  # of the learning rate, from each encoder layer to the one below
    cfg.SOLVER.BETAS = (0.9, 0.98)
    cfg.SOLVER.EMA_DECAY = 0.99  # moving average of the weights; 0 switches it off
    cfg.SOLVER.ACCUMULATE = 1  # parts in which a process works off its batch, to save memory
    cfg.SOLVER.POLY_LR_POWER = 0.9  # of WarmupPolyLR
    # bf16, fp16 with a loss scale, or auto: bf16 where the hardware has it, float32 elsewhere.
    cfg.SOLVER.AMP.PRECISION = "auto"

    # Of evaluation, galleries and predictions: the same, or fp32.
    cfg.TEST.PRECISION = "fp32"
    # The best of the evaluations every TEST.EVAL_PERIOD iterations is kept in OUTPUT_DIR/best.
    cfg.TEST.BEST = CfgNode()
    cfg.TEST.BEST.METRIC = "segm/AP"  # of the first test set, or "data set/segm/AP"
    cfg.TEST.BEST.MODE = "max"
    cfg.TEST.BEST.PATIENCE = 0  # evaluations without a new best before training stops; 0: never

    cfg.WANDB = CfgNode()
    cfg.WANDB.ENABLED = False
    cfg.WANDB.PROJECT = "sav"
    cfg.WANDB.NAME = ""  # of the run; empty: the folder's name


def load_config(path: str | Path, opts: Sequence[str] = (), *, experiment: bool = False) -> CfgNode:
    """Read a config file on top of all defaults.

    Args:
        path: a YAML file.
        opts: KEY VALUE pairs that override it; below DATASETS.PARTS and MODEL.TIMM.OPTIONS they can
            also be new.
        experiment: whether EXPERIMENT may change the model.

    Raises:
        SAVError: no such file, not YAML, an unknown key, a value of another type, or a run of an
            experiment that is not expected.
    """
    if not str(path):
        raise SAVError("--config-file FILE: it is missing")
    if not Path(path).is_file():
        raise SAVError(f"{path}: no such config file")
    cfg = get_cfg()
    add_sav_config(cfg)
    with _reading(
        str(path), "; check its spelling, or train anew if it is of another version of SAV"
    ):
        cfg.merge_from_file(str(path))
    flags = [word for word in opts[::2] if word.startswith("-")]
    if flags:
        raise SAVError(f"{flags[0]}: flags go before the KEY VALUE pairs")
    with _reading("KEY VALUE on the command line"):
        cfg.merge_from_list(list(opts))
    if cfg.EXPERIMENT and not experiment:
        raise SAVError(
            f"{path}: a training of an experiment (EXPERIMENT), which 'python -m sav.bench.train' "
            "alone can read; see docs/benchmarks.md"
        )
    return cfg


def without_first_weights(cfg: CfgNode) -> CfgNode:
    """A copy for a model whose weights follow whole: what its encoder started from is not read."""
    cfg = cfg.clone()
    cfg.defrost()
    cfg.MODEL.SAM.CHECKPOINT = ""
    cfg.MODEL.TIMM.CHECKPOINT = ""
    cfg.MODEL.TIMM.PRETRAINED = False
    return cfg


@contextmanager
def _reading(source: str, hint: str = "") -> Iterator[None]:
    """Name the source of what cannot be merged, and for an unknown key what to do."""
    try:
        yield
    except KeyError as error:
        raise SAVError(f"{source}: {error.args[0]}{hint}") from error
    except (ValueError, AssertionError, TypeError, yaml.YAMLError) as error:
        raise SAVError(f"{source}: {error.args[0] if error.args else error}") from error
