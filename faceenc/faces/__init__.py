"""Faces: found, aligned, cut out.

Offers MediaPipe's `FaceDetector` and detectors made of several, `Similarity` and differentiable crops, the crops that
recognisers want (`frame_face`), and `FaceWindow`, the part of a photo around a face. Every template of eyes and mouth stands
in `templates`.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
