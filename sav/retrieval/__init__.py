"""Context retrieval: similar training vehicles lend their part features."""

from sav.retrieval.context import ContextEncoder
from sav.retrieval.gallery import Gallery, GalleryEntries, GalleryViews, Neighbours

__all__ = ["ContextEncoder", "Gallery", "GalleryEntries", "GalleryViews", "Neighbours"]
