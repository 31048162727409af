"""Report: a run's rows become tables, flags, plots and pages. It never attacks and needs no torch.

Offers `render` for a run's folder, the tables under it (`summarize`, `wilson`, ...) and the flags (`flags/`).
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
