"""Places of results in napari: saving, opening, recent ones, what is left of a crash; reader and writers of npe2."""
