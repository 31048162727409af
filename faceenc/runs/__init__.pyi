from .files import BUSY as BUSY
from .files import StoppedError as StoppedError
from .files import exit_code as exit_code
from .files import run_files as run_files
from .ledger import Ledger as Ledger
from .plan import FileResult as FileResult
from .plan import Task as Task
from .plan import plan_files as plan_files
