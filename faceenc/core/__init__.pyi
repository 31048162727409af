from .assets import ASSETS as ASSETS
from .assets import Archive as Archive
from .assets import Asset as Asset
from .assets import fetch as fetch
from .cache import cache_dir as cache_dir
from .cache import cached_arrays as cached_arrays
from .devices import (
    has_bfloat16 as has_bfloat16,
)
from .devices import (
    has_fast_packed_convolutions as has_fast_packed_convolutions,
)
from .devices import (
    peak_memory_gb as peak_memory_gb,
)
from .environment import describe_environment as describe_environment
from .errors import (
    AssetError as AssetError,
)
from .errors import (
    CheckpointError as CheckpointError,
)
from .errors import (
    ConfigError as ConfigError,
)
from .errors import (
    ConsentError as ConsentError,
)
from .errors import (
    DataError as DataError,
)
from .errors import (
    FaceencError as FaceencError,
)
from .errors import (
    KeyFileError as KeyFileError,
)
from .errors import (
    NoFaceError as NoFaceError,
)
from .errors import (
    RunError as RunError,
)
from .fields import fields_of_repr as fields_of_repr
from .fields import means as means
from .fields import named_fields as named_fields
from .files import atomic_file as atomic_file
from .files import put_new as put_new
from .files import sweep as sweep
from .files import write_atomically as write_atomically
from .geometry import (
    SAME_PLACE as SAME_PLACE,
)
from .geometry import (
    SURROUNDINGS as SURROUNDINGS,
)
from .geometry import (
    Window as Window,
)
from .geometry import (
    at_place as at_place,
)
from .geometry import (
    moved as moved,
)
from .geometry import (
    overlap as overlap,
)
from .geometry import (
    scaled as scaled,
)
from .geometry import (
    shared_area as shared_area,
)
from .geometry import (
    window_around as window_around,
)
from .locks import BusyError as BusyError
from .locks import FolderLock as FolderLock
from .locks import lock_byte as lock_byte
from .locks import unlock_byte as unlock_byte
from .toml import (
    build as build,
)
from .toml import (
    check_keys as check_keys,
)
from .toml import (
    checked as checked,
)
from .toml import (
    find_config as find_config,
)
from .toml import (
    listed as listed,
)
from .toml import (
    nearest as nearest,
)
from .toml import (
    read_toml as read_toml,
)
from .types import (
    SLACK as SLACK,
)
from .types import (
    Attack as Attack,
)
from .types import (
    Box as Box,
)
from .types import (
    Detector as Detector,
)
from .types import (
    Face as Face,
)
from .types import (
    Goal as Goal,
)
from .types import (
    Gradient as Gradient,
)
from .types import (
    GradientEngine as GradientEngine,
)
from .types import (
    Norm as Norm,
)
from .types import (
    OnNoFace as OnNoFace,
)
from .types import (
    Outcome as Outcome,
)
from .types import (
    Progress as Progress,
)
from .types import (
    Recognizer as Recognizer,
)
