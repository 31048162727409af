"""Attacks: our own PGD and noise, and ART's, behind one boundary (`faceenc.core.Attack`).

Offers goals, norms, PGD and its gradient engines, random views and the transfer attack, the harness `run_attack` that judges
them all, the smallest noise that fools, and every attack by name (`ATTACKS`). `art/` is the only user of art.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
