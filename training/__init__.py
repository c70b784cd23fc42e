"""How the shipped weights are made; not part of the installed package. Run from the root of the repository."""
