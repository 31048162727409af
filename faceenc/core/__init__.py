"""Core: the types and errors that every room speaks, and files, cache, assets, TOML and the machine.

Offers the boundaries (`Model`, `Detector`, `Goal`, `Norm`, `Attack`), plain records (`Box`, `Face`, `Outcome`), the
errors, `atomic_file` and `fetch`, boxes and windows, checked TOML tables. Nothing here loads torch before it is used.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
