"""Live: protection while the camera runs, and of whole videos, one frame at a time.

Offers sources and the loop (`Feed`, `Live`), the tracker, methods of making noise, masks of enrolled people, whole videos
(`protect_video`) and the proof from their files.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
