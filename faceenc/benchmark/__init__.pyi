from .classification import Classification as Classification
from .config import Config as Config
from .config import read_config as read_config
from .estimate import estimate_time as estimate_time
from .folder import RunFolder as RunFolder
from .parity import crosscheck as crosscheck
from .plan import AttackEntry as AttackEntry
from .plan import draw_targets as draw_targets
from .prepare import make_plan as make_plan
from .prepare import prepare_classification as prepare_classification
from .rows import ROW_COLUMNS as ROW_COLUMNS
from .rows import cell_key as cell_key
from .runner import Measured as Measured
from .runner import Measurement as Measurement
from .runner import run_benchmark as run_benchmark
from .transfer.config import (
    make_transfer_plan as make_transfer_plan,
)
from .transfer.config import (
    prepare_transfer as prepare_transfer,
)
from .transfer.config import (
    read_transfer_config as read_transfer_config,
)
from .transfer.config import (
    transfer_config as transfer_config,
)
from .transfer.goals import EMBEDDING_GOALS as EMBEDDING_GOALS
from .transfer.goals import goal_for as goal_for
from .transfer.lfw import judge_pairs as judge_pairs
from .transfer.lfw import pairs_table as pairs_table
from .transfer.lfw import read_pairs as read_pairs
from .transfer.measurement import TransferMeasurement as TransferMeasurement
from .transfer.pairs import borrow as borrow
from .transfer.pairs import draw_pairs as draw_pairs
from .transfer.pairs import halves as halves
from .transfer.pairs import threshold_of as threshold_of
from .transfer.plan import TransferPlan as TransferPlan
