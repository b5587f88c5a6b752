"""Parser and judge against people: samples, labels, agreement."""
