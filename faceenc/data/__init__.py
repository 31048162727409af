"""Data: labelled face crops.

Offers `FaceSet` and its loaders: the demo's ORL faces, folders of people, CelebA, faces out of videos; and `DataConfig`, the
[data] of a configuration.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
