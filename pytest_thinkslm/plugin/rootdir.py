"""pytest looks for its root folder and ini file before plugins have loaded.

At that moment the value of ``--data-dir /somewhere/data`` looks like a path to collect, so that the ini file of
the current folder may be passed over. Once our options are known, the search is done again without them.
This needs pytest's own search, which is not public: where it is not what it was, a warning is given instead.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import pytest


def search_again(config: pytest.Config, args: list[str], paths: Sequence[str]) -> None:
    """Set the root folder and the ini values that ``paths`` alone lead to; prepend the ini file's ``addopts``."""
    known = config.known_args_namespace
    try:
        from _pytest.config.findpaths import determine_setup

        root, ini, values, ignored = determine_setup(
            inifile=known.inifilename,
            override_ini=known.override_ini,
            args=list(paths),
            rootdir_cmd_arg=known.rootdir or None,
            invocation_dir=config.invocation_params.dir,
        )
        if (root, ini) == (config.rootpath, config.inipath):
            return
        config._rootpath = root
        config._inipath = ini
        config._inicfg = values
        config._ignored_config_files = ignored
        config._inicache.clear()
        known.confcutdir = str(ini.parent if ini is not None else root)
        extra = config.getini("addopts")
        if extra:
            args[:] = [*extra, *args]
            config.pluginmanager.consider_preparse(extra, exclude_only=False)
        config._configure_python_path()
    except (ImportError, AttributeError, TypeError, ValueError) as error:
        warnings.warn(
            pytest.PytestWarning(
                f"thinkslm: the ini file of the current folder may have been passed over ({error}); "
                "write options that take a path as --name=PATH"
            ),
            stacklevel=2,
        )
