"""Protect: photos whose faces recognisers no longer match, with evidence and safeguards.

Offers `Protector` and the noise under it (`protect_faces`, `STRENGTHS`), runs over photos and folders, evidence from the
saved file (`evidence/`), and consent, keys and the audit log (`safeguards/`).
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
