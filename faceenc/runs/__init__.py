"""Runs: work shared among processes, recorded and resumed.

Offers the `Executor` (this process, or worker processes of which any may die), and `run_files` over a plan of files with its
`Ledger`.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
