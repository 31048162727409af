"""`python -m faceenc` is `faceenc`."""

from __future__ import annotations

from faceenc.cli import main

if __name__ == "__main__":
    main()
