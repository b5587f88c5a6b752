"""Reading data sets: the hub, local folders, and content pins."""
