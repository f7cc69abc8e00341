"""What SAV is compared with, on the same encoder, data, optimizer and evaluator."""

from sav.bench.peers.class_tokens import ClassTokens
from sav.bench.peers.fpn import PlainFPN
from sav.bench.peers.mask_rcnn import MaskRCNN
from sav.bench.peers.peer import Peer
from sav.bench.peers.queries import LearnedQueries

__all__ = ["PEERS", "Peer"]

PEERS: dict[str, type[Peer]] = {
    "fpn": PlainFPN,
    "queries": LearnedQueries,
    "class-tokens": ClassTokens,
    "mask-rcnn": MaskRCNN,
}
"""By the name that EXPERIMENT.PEER gives them."""
