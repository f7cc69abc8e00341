"""The image embedding: what every encoder makes and the decoder reads.

An encoder is a Detectron2 ``Backbone``. It takes normalised images (B, 3, S, S) and returns a dict
with "embedding" (B, 256, S / stride, S / stride), stride 16 or 8. Encoders with finer maps return
them too, as "skip8" (at stride 16) and "skip4", named by their stride.
"""

EMBEDDING = "embedding"
EMBEDDING_DIM = 256
