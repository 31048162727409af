"""Train: a recogniser for the people of a data set, and how well it knows them.

Offers `Training` (how), `train` and `trained`, the training's folder, configurations, and `evaluate`.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
