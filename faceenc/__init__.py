"""faceenc: adversarial noise against face recognisers, to measure them and to protect photos from them."""

from faceenc.core import Box, Face, FaceencError, Outcome

__version__ = "0.1.0"
__all__ = ["Box", "Face", "FaceencError", "Outcome", "__version__"]
