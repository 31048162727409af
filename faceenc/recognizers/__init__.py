"""Recognisers: the nets, and what is asked of them.

Offers `Recognizer` and its one loader `load_recognizer`, operating points, `FaceResNet` and its checkpoints, dlib's net
(`dlib/`), defences and ensembles, recognisers of one common picture, matching (thresholds, ROC, ranks), galleries and names.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
