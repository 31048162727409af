from .face_view import FaceView as FaceView
from .mask_making import enroll as enroll
from .masks import MaskBook as MaskBook
from .masks import load_masks as load_masks
from .masks import save_mask as save_mask
from .methods import (
    METHODS as METHODS,
)
from .methods import (
    AutoMethod as AutoMethod,
)
from .methods import (
    FaceInFrame as FaceInFrame,
)
from .methods import (
    Method as Method,
)
from .methods import (
    NoiseMethod as NoiseMethod,
)
from .methods import (
    PgdMethod as PgdMethod,
)
from .noise import FaceNoise as FaceNoise
from .noise import live_window as live_window
from .overlay import HIDDEN as HIDDEN
from .overlay import VISIBLE as VISIBLE
from .overlay import Gauges as Gauges
from .overlay import draw_overlay as draw_overlay
from .overlay import who as who
from .pipeline import (
    Live as Live,
)
from .pipeline import (
    Outputs as Outputs,
)
from .pipeline import (
    Sink as Sink,
)
from .pipeline import (
    Summary as Summary,
)
from .pipeline import (
    no_keys as no_keys,
)
from .pipeline import (
    one_thread as one_thread,
)
from .processor import Controls as Controls
from .processor import Processor as Processor
from .processor import Shown as Shown
from .proof import Recognition as Recognition
from .proof import prove as prove
from .setup import (
    READ_EVERY as READ_EVERY,
)
from .setup import (
    live_detector as live_detector,
)
from .setup import (
    load_watcher as load_watcher,
)
from .setup import (
    make_method as make_method,
)
from .setup import (
    read_targets as read_targets,
)
from .sources import (
    Feed as Feed,
)
from .sources import (
    Frame as Frame,
)
from .sources import (
    LoopSource as LoopSource,
)
from .sources import (
    Mirrored as Mirrored,
)
from .sources import (
    Source as Source,
)
from .sources import (
    open_source as open_source,
)
from .stats import StatsFile as StatsFile
from .tracking import NearOrWide as NearOrWide
from .tracking import Tracker as Tracker
from .tracking import frame_faces as frame_faces
from .video import Steadiness as Steadiness
from .video import protect_video as protect_video
from .video import video_method as video_method
from .watchers import DlibWatcher as DlibWatcher
from .watchers import ResNetWatcher as ResNetWatcher
from .watchers import Watcher as Watcher
