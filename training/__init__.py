"""How the networks that ship with napari-mosam are made; not part of the installed package."""
