"""The page of divisions: proposals with pictures, the tree, and the layer of tracks."""
