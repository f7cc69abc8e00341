import pytest
import yaml

from sav.d2 import CfgNode, configurable, get_cfg
from sav.d2.shared.config import DEFAULTS


def test_default_keys_and_values():
    cfg = get_cfg()
    assert cfg.MODEL.META_ARCHITECTURE == "GeneralizedRCNN"
    assert cfg.SOLVER.LR_SCHEDULER_NAME == "WarmupMultiStepLR"
    assert (cfg.SOLVER.MAX_ITER, cfg.SOLVER.IMS_PER_BATCH) == (40000, 16)
    assert cfg.SOLVER.CLIP_GRADIENTS.CLIP_TYPE == "value"
    assert cfg.DATALOADER.ASPECT_RATIO_GROUPING is True
    assert (cfg.OUTPUT_DIR, cfg.SEED, cfg.TEST.EVAL_PERIOD) == ("./output", -1, 0)


def test_common_defaults_are_those_of_detectron2():
    """Every key of the built-in engine exists in the active one with the same value."""

    def compare(ours, theirs, path=""):
        for key, value in ours.items():
            assert key in theirs, path + key
            if isinstance(value, dict):
                compare(value, theirs[key], f"{path}{key}.")
            else:
                assert value == theirs[key], path + key

    compare(DEFAULTS, get_cfg())


def test_base_is_relative_to_the_file(tmp_path):
    (tmp_path / "base.yaml").write_text("SOLVER:\n  MAX_ITER: 5\n  BASE_LR: 0.5\n")
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "own.yaml").write_text("_BASE_: ../base.yaml\nSOLVER:\n  MAX_ITER: 7\n")
    cfg = get_cfg()
    cfg.merge_from_file(str(tmp_path / "sub" / "own.yaml"))
    assert (cfg.SOLVER.MAX_ITER, cfg.SOLVER.BASE_LR) == (7, 0.5)


def test_unknown_keys_raise(tmp_path):
    path = tmp_path / "c.yaml"
    path.write_text("SOLVER:\n  MAX_ITERS: 5\n")
    with pytest.raises(KeyError, match="MAX_ITERS"):
        get_cfg().merge_from_file(str(path))
    with pytest.raises(KeyError, match=r"SOLVER\.MAX_ITERS"):
        get_cfg().merge_from_list(["SOLVER.MAX_ITERS", "5"])
    with pytest.raises(KeyError, match=r"SOLVE\b"):
        get_cfg().merge_from_list(["SOLVE.MAX_ITER", "5"])
    with pytest.raises(ValueError, match=r"SOLVER\.MAX_ITER "):
        get_cfg().merge_from_list(["SOLVER.MAX_ITER"])


def test_missing_file_raises(tmp_path):
    with pytest.raises((FileNotFoundError, AssertionError), match=r"none\.yaml"):
        get_cfg().merge_from_file(str(tmp_path / "none.yaml"))


def test_types_are_checked_and_lists_become_tuples():
    cfg = get_cfg()
    cfg.merge_from_list(["DATASETS.TRAIN", "['a', 'b']", "SOLVER.MAX_ITER", "3"])
    assert cfg.DATASETS.TRAIN == ("a", "b")
    assert cfg.SOLVER.MAX_ITER == 3
    for key, value in (("SOLVER.MAX_ITER", "many"), ("SOLVER.BASE_LR", "fast"), ("SOLVER", "5")):
        with pytest.raises(ValueError, match=key.split(".")[-1]):
            cfg.merge_from_list([key, value])
    assert cfg.SOLVER.MAX_ITER == 3


def test_an_int_is_a_float_where_one_is_declared(tmp_path):
    cfg = get_cfg()
    cfg.merge_from_list(["SOLVER.BASE_LR", "1", "SOLVER.GAMMA", 0])
    assert isinstance(cfg.SOLVER.BASE_LR, float)
    assert cfg.SOLVER.BASE_LR == 1.0
    path = tmp_path / "c.yaml"
    path.write_text("SOLVER:\n  BASE_LR: 2\n")
    cfg.merge_from_file(str(path))
    assert isinstance(cfg.SOLVER.BASE_LR, float)
    assert cfg.SOLVER.BASE_LR == 2.0


def test_new_keys_are_added_before_the_merge_and_allowed_where_said(tmp_path):
    cfg = get_cfg()
    cfg.MODEL.EXTRA = CfgNode({"WIDTH": 8})
    cfg.DATASETS.PARTS = CfgNode(new_allowed=True)
    path = tmp_path / "c.yaml"
    path.write_text("MODEL:\n  EXTRA:\n    WIDTH: 9\nDATASETS:\n  PARTS:\n    mine: a/b.json\n")
    cfg.merge_from_file(str(path))
    assert (cfg.MODEL.EXTRA.WIDTH, cfg.DATASETS.PARTS.mine) == (9, "a/b.json")
    cfg.merge_from_list(["DATASETS.PARTS.other", "c/d.json", "MODEL.EXTRA.WIDTH", "3"])
    assert dict(cfg.DATASETS.PARTS) == {"mine": "a/b.json", "other": "c/d.json"}
    assert cfg.MODEL.EXTRA.WIDTH == 3


def test_frozen_clone_and_dump(tmp_path):
    cfg = get_cfg()
    cfg.SOLVER.MAX_ITER = 11
    cfg.freeze()
    with pytest.raises(AttributeError):
        cfg.SOLVER.MAX_ITER = 12
    other = cfg.clone()
    other.defrost()
    other.SOLVER.MAX_ITER = 12
    assert cfg.SOLVER.MAX_ITER == 11
    path = tmp_path / "dump.yaml"
    path.write_text(cfg.dump())
    again = get_cfg()
    again.merge_from_file(str(path))
    assert yaml.safe_load(again.dump()) == yaml.safe_load(cfg.dump())


def test_a_frozen_config_refuses_merges(tmp_path):
    path = tmp_path / "c.yaml"
    path.write_text("VERSION: 2\nSOLVER:\n  MAX_ITER: 5\n")
    cfg = get_cfg()
    cfg.freeze()
    with pytest.raises(AttributeError, match="frozen"):
        cfg.merge_from_file(str(path))
    with pytest.raises(AttributeError, match="frozen"):
        cfg.merge_from_list(["SOLVER.MAX_ITER", "5"])
    assert cfg.SOLVER.MAX_ITER == 40000
    cfg.defrost()
    cfg.merge_from_file(str(path))
    assert cfg.SOLVER.MAX_ITER == 5


COMMON_YAML = """
VERSION: 2
MODEL:
  META_ARCHITECTURE: "GeneralizedRCNN"
  WEIGHTS: "weights.pth"
  PIXEL_MEAN: [123.675, 116.280, 103.530]
  BACKBONE: {NAME: "build_resnet_backbone"}
DATASETS:
  TRAIN: ("coco_2017_train",)
  TEST: ("coco_2017_val",)
DATALOADER: {NUM_WORKERS: 2, ASPECT_RATIO_GROUPING: False}
SOLVER:
  IMS_PER_BATCH: 16
  BASE_LR: 2e-2
  STEPS: (60000, 80000)
  MAX_ITER: 90000
  CLIP_GRADIENTS: {ENABLED: True, CLIP_TYPE: "norm", CLIP_VALUE: 0.01, NORM_TYPE: 2.0}
  AMP: {ENABLED: True}
TEST:
  EVAL_PERIOD: 5000
OUTPUT_DIR: "./out"
"""


def test_a_common_detectron2_config_merges(tmp_path):
    path = tmp_path / "c.yaml"
    path.write_text(COMMON_YAML)
    cfg = get_cfg()
    cfg.merge_from_file(str(path))
    assert cfg.DATASETS.TRAIN == ("coco_2017_train",)
    assert (cfg.SOLVER.BASE_LR, cfg.SOLVER.STEPS) == (0.02, (60000, 80000))
    assert cfg.MODEL.PIXEL_MEAN == [123.675, 116.280, 103.530]
    assert cfg.SOLVER.CLIP_GRADIENTS.CLIP_TYPE == "norm"


class Layer:
    @configurable
    def __init__(self, width, depth=2):
        self.width, self.depth = width, depth

    @classmethod
    def from_config(cls, cfg, factor=1):
        return {"width": cfg.MODEL.WIDTH * factor}


def test_configurable_class():
    cfg = get_cfg()
    cfg.MODEL.WIDTH = 8
    assert Layer(3).width == 3
    assert (Layer(cfg).width, Layer(cfg).depth) == (8, 2)
    assert Layer(cfg, depth=5).depth == 5
    assert Layer(cfg=cfg, width=4).width == 4
    assert Layer(cfg, factor=3).width == 24


def test_configurable_needs_from_config():
    class Bare:
        @configurable
        def __init__(self, width):
            pass

    class Strange(Bare):
        def from_config(self, cfg):
            return {"width": 1}

    with pytest.raises(AttributeError, match="from_config"):
        Bare(get_cfg())
    with pytest.raises(TypeError, match="from_config"):
        Strange(get_cfg())
