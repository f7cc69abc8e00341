"""Text embeddings of an ontology's nodes.

The shipped ontologies come with their embeddings, so that neither a text model nor a network is
needed to train or predict. For any other ontology they are computed once and cached by content.
"""

from __future__ import annotations

import hashlib
import logging
import os
from pathlib import Path

import torch
from safetensors.torch import load_file, save

from sav.errors import SAVError
from sav.files import write_atomic
from sav.ontology.ontology import Ontology

TEXT_MODEL = "sentence-transformers/all-MiniLM-L6-v2"
_SHIPPED = Path(__file__).parent / "embeddings"
_KEY = "nodes"
_LOGGER = logging.getLogger(__name__)


def node_sentences(ontology: Ontology) -> list[str]:
    """What the text encoder reads: one sentence a node, in node order."""
    return [f"{node.name.replace('_', ' ')}: {node.description}" for node in ontology.nodes]


def text_embeddings(ontology: Ontology, text_model: str = TEXT_MODEL) -> torch.Tensor:
    """Embeddings of every node: shipped, else cached, else computed.

    Args:
        ontology: its node names and descriptions are embedded.
        text_model: a sentence-transformers model, by hub name or folder.

    Returns:
        (nodes, D) float32, unit length; D is 384 for the default model.

    Raises:
        SAVError: they have to be computed and the text model cannot be loaded.
    """
    name = _file_name(ontology, text_model)
    for source, folder in (("shipped", _SHIPPED), ("cached", _cache_folder())):
        if (folder / name).is_file():
            _LOGGER.info("Text embeddings of %s: %s", ontology.name, source)
            return load_file(folder / name)[_KEY]
    embeddings = _encode(node_sentences(ontology), text_model)
    save_text_embeddings(ontology, embeddings, _cache_folder(), text_model)
    _LOGGER.info("Text embeddings of %s: computed by %s", ontology.name, text_model)
    return embeddings


def save_text_embeddings(
    ontology: Ontology, embeddings: torch.Tensor, folder: Path, text_model: str = TEXT_MODEL
) -> None:
    """Write embeddings (nodes, D) to a file named by a digest of text model and sentences."""
    metadata = {"ontology": ontology.name, "text_model": text_model}
    content = save({_KEY: embeddings.contiguous()}, metadata=metadata)
    write_atomic(folder / _file_name(ontology, text_model), content)


def _file_name(ontology: Ontology, text_model: str) -> str:
    text = "\n".join([text_model, *node_sentences(ontology)])
    return hashlib.sha256(text.encode()).hexdigest()[:24] + ".safetensors"


def _cache_folder() -> Path:
    root = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(root) / "sav" / "text_embeddings"


def _encode(sentences: list[str], text_model: str) -> torch.Tensor:
    # Seconds to import, and not needed for the shipped ontologies.
    from sentence_transformers import SentenceTransformer  # noqa: PLC0415

    try:
        model = SentenceTransformer(text_model, device="cpu")
    except (OSError, ValueError) as error:
        raise SAVError(
            f"{text_model}: the text model cannot be loaded ({error}); download it on a machine "
            "with a network and set MODEL.SAV.GRAPH.TEXT_MODEL to its folder"
        ) from error
    return model.encode(sentences, convert_to_tensor=True, normalize_embeddings=True).cpu()
