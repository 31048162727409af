from .core import Box as Box
from .core import Face as Face
from .core import FaceencError as FaceencError
from .core import Outcome as Outcome

__version__: str
