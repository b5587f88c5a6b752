"""The tasks of the suite: one module a data set family, and the registry."""
