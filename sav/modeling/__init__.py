"""SAM encoders, the part decoder, the criterion and the meta-architecture."""

from sav.modeling.encoders import SAMEncoder, TimmEncoder
from sav.modeling.meta_arch import SAV

__all__ = ["SAV", "SAMEncoder", "TimmEncoder"]
