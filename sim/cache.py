"""Where builds are kept."""

import os
from pathlib import Path

__all__ = ["cache_dir"]


def cache_dir() -> Path:
    """Return the folder for builds: ``HARDWIRE_CACHE``, or the user's cache folder."""
    chosen = os.environ.get("HARDWIRE_CACHE")
    if chosen:
        return Path(chosen)
    import platformdirs

    return Path(platformdirs.user_cache_dir("hardwire"))
