"""Items and results of a run: typed, written and read back."""
