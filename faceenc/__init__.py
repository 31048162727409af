"""faceenc: adversarial noise against face recognisers, to measure them and to protect photos from them.

Functions (`protect`, `verify`, `benchmark`, `transfer`, `crosscheck`), what they stand on (`Protector`, `load_recognizer`,
`run_attack` with attacks and goals), and errors; all are loaded when they are used. docs/library.md shows them at work.
"""

import sys
from types import ModuleType
from typing import Any

import lazy_loader

__version__ = "0.2.0"


class _CalledRoom(ModuleType):
    """A room of the name of what it is for: `faceenc.protect(photo)`, and `faceenc.protect.Protector`."""

    def __call__(self, *words: Any, **options: Any) -> Any:
        from faceenc import api

        return getattr(api, self.__name__.rpartition(".")[2])(*words, **options)


class _Door(ModuleType):
    """Importing a room sets it in the place of the function of its name: it has to do the function's work then."""

    def __setattr__(self, name: str, value: object) -> None:
        if name in ("protect", "benchmark") and isinstance(value, ModuleType):
            value.__class__ = type(_CalledRoom.__name__, (_CalledRoom, type(value)), {})
        super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Door
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
__all__ += ["__version__"]
