"""The subcommands of ``thinkslm``: one module each, thin; what they do is done by the packages that they call."""
