"""Runs: work shared among processes, recorded and resumed.

Offers `run_files` over a plan of files with its `Ledger`, `plan_files`, and processes of which any may die.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
