"""Context retrieval: similar training vehicles lend their part features."""

from sav.retrieval.context import ContextEncoder
from sav.retrieval.gallery import Gallery
from sav.retrieval.photos import Photo, photo_hash
from sav.retrieval.views import GalleryEntries, GalleryViews, Neighbours, Queries

__all__ = [
    "ContextEncoder",
    "Gallery",
    "GalleryEntries",
    "GalleryViews",
    "Neighbours",
    "Photo",
    "Queries",
    "photo_hash",
]
