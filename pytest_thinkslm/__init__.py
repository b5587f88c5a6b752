"""pytest-thinkslm: reasoning benchmarks for small language models, as a pytest suite."""

