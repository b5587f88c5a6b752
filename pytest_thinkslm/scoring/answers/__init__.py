"""Text of a model -> ``Answer``: the final region, then one reader for each answer kind (see ``reader``)."""
