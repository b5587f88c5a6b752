"""Outputs kept the moment they are finished."""
