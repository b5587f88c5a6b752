"""GPUs, cores, memory, and what fits where."""
