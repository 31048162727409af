from .files import BUSY as BUSY, StoppedError as StoppedError, exit_code as exit_code, run_files as run_files
from .ledger import Ledger as Ledger
from .plan import FileResult as FileResult, Task as Task, plan_files as plan_files
