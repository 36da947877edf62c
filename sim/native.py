"""The shared library, loaded: thin calls into native code."""

import importlib.util
import os
from pathlib import Path
from types import ModuleType
from typing import Any

from .build import ABI_MODULE, LIBRARY, Design, Progress, cache_dir, library_dir

__all__ = ["NativeLibrary", "load"]

_LOADED: dict[tuple[Path, Design, bool], "NativeLibrary"] = {}  # By the cache, too: tests have several.


class NativeLibrary:
    """One loaded library.

    Members
    -------
    lib
        The functions of ``native/wire_abi.h``, and of ``native/abi.h`` or ``native/board_abi.h``.
    ffi
        cffi's object for their types. The declarations were parsed when the library was built.
    """

    __slots__ = ("ffi", "lib", "path")

    def __init__(self, path: str) -> None:
        abi = _module(os.path.join(path, f"{ABI_MODULE}.py"))
        self.path = path
        self.ffi: Any = abi.ffi
        self.lib: Any = self.ffi.dlopen(os.path.join(path, LIBRARY))


def load(design: Design, *, waves: bool = False, progress: Progress | None = None) -> NativeLibrary:
    """Return the library for ``design``, built if need be; see :func:`.build.library_dir`."""
    wanted = cache_dir(), design, waves
    library = _LOADED.get(wanted)
    if library is None:
        path = str(library_dir(design, waves=waves, progress=progress))
        library = _LOADED[wanted] = NativeLibrary(path)
    return library


def _module(path: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(ABI_MODULE, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
