"""One training of an experiment: SAV's trainer, with what the config's EXPERIMENT changes.

``python -m sav.bench.train`` takes the arguments of ``sav train``. The keys below EXPERIMENT:

- PEER: one of :data:`sav.bench.peers.PEERS` instead of SAV;
- HELD_OUT: names of classes that training does not supervise, see
  :mod:`sav.bench.held_out_model`;
- RANDOM_NEIGHBOURS: retrieve any exemplars instead of similar ones;
- NAIVE_FLIP: leave the labels of left and right parts as they are in mirrored photos.
"""

from __future__ import annotations

import torch

from sav.bench.galleries import RandomGallery
from sav.bench.held_out_model import HeldOutSAV
from sav.bench.peers import PEERS, Peer
from sav.d2 import CfgNode
from sav.data.mapper import PartDatasetMapper
from sav.engine.arguments import argument_parser
from sav.engine.optimizer import freeze_others
from sav.engine.run import run
from sav.engine.trainer import Trainer
from sav.errors import SAVError
from sav.modeling.meta_arch import SAV
from sav.ontology import load_ontology, load_views
from sav.process import run_command


class ExperimentTrainer(Trainer):
    """Trains and evaluates what an experiment compares SAV with."""

    reads_experiments = True

    @classmethod
    def build_model(cls, cfg: CfgNode) -> SAV | Peer:
        """The model of the config, changed as EXPERIMENT says.

        Raises:
            SAVError: no such peer.
        """
        if name := cfg.EXPERIMENT.get("PEER"):
            return super().build_model(_with_architecture(cfg, name))
        if cfg.EXPERIMENT.get("HELD_OUT"):
            model = HeldOutSAV(cfg).to(torch.device(cfg.MODEL.DEVICE))
            freeze_others(model, cfg.SOLVER.TRAINED)
        else:
            model = super().build_model(cfg)
        if cfg.EXPERIMENT.get("RANDOM_NEIGHBOURS"):
            model.context.gallery = RandomGallery({})
        return model

    @classmethod
    def build_mapper(cls, cfg: CfgNode) -> PartDatasetMapper:
        """SAV's mapper; with NAIVE_FLIP one that swaps no sides."""
        if not cfg.EXPERIMENT.get("NAIVE_FLIP"):
            return super().build_mapper(cfg)
        views = load_views(load_ontology(cfg.MODEL.SAV.ONTOLOGY), cfg.MODEL.SAV.VIEWS)
        same = {view.name: list(range(len(view.vocabulary))) for view in views}
        return PartDatasetMapper(cfg, is_train=True, mirror_ids=same)


def _with_architecture(cfg: CfgNode, peer: str) -> CfgNode:
    if peer not in PEERS:
        raise SAVError(f"EXPERIMENT.PEER '{peer}': not known; choose one of {', '.join(PEERS)}")
    cfg = cfg.clone()
    cfg.defrost()
    cfg.MODEL.META_ARCHITECTURE = PEERS[peer].__name__
    return cfg


if __name__ == "__main__":
    run_command(lambda: run(argument_parser().parse_args(), ExperimentTrainer))
