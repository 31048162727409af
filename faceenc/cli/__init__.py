"""The commands `faceenc` and `faceenc-bench`: parse, call one function, print. The only place that prints.

`people` is `faceenc`, `bench` is `faceenc-bench`, each with one module a command; `common` holds what they share.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
