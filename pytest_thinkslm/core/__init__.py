"""Records, identities, errors and text that every room may use."""
