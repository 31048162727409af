from .alignment import (
    Similarity as Similarity,
)
from .alignment import (
    cut_out as cut_out,
)
from .alignment import (
    fit_similarity as fit_similarity,
)
from .alignment import (
    halved_pixels as halved_pixels,
)
from .alignment import (
    key_points_similarity as key_points_similarity,
)
from .alignment import (
    pyramid_levels as pyramid_levels,
)
from .alignment import (
    square_similarity as square_similarity,
)
from .alignment import (
    unhalved as unhalved,
)
from .detection import FaceDetector as FaceDetector
from .detection import main_face as main_face
from .framing import (
    SQUARE_MARGIN as SQUARE_MARGIN,
)
from .framing import (
    Framing as Framing,
)
from .framing import (
    align_face as align_face,
)
from .framing import (
    crop_square as crop_square,
)
from .framing import (
    frame_face as frame_face,
)
from .groups import (
    GroupDetector as GroupDetector,
)
from .groups import (
    detect_at as detect_at,
)
from .groups import (
    detect_closely as detect_closely,
)
from .groups import (
    without_doubles as without_doubles,
)
from .templates import (
    ALIGNED_BORDER as ALIGNED_BORDER,
)
from .templates import (
    ALIGNED_POINTS as ALIGNED_POINTS,
)
from .templates import (
    ALIGNED_SIZE as ALIGNED_SIZE,
)
from .templates import (
    ARCFACE_POINTS as ARCFACE_POINTS,
)
from .templates import (
    ARCFACE_SIZE as ARCFACE_SIZE,
)
from .templates import (
    CHIP_SIZE as CHIP_SIZE,
)
from .templates import (
    WHOLE_POINTS as WHOLE_POINTS,
)
from .windows import FaceWindow as FaceWindow
from .windows import face_ellipse as face_ellipse
