"""Command line beside pytest."""
