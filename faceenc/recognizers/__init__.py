"""Recognisers: the nets, and what is asked of them.

Offers `FaceResNet` and its checkpoints, dlib's net (`dlib/`), frbench's, defences and ensembles; judges and surrogates of
photos; matching (thresholds, ROC, ranks), galleries and names. Some classes stay here that issue "One recogniser" merges.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
