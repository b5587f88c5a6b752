"""pytest hooks (wiring only)."""
