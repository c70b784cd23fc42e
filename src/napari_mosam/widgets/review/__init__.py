"""The page on which a person looks through a result, and the heat strip below the picture."""
