"""The gallery: stored exemplars and the search for similar ones. No networks in here."""
