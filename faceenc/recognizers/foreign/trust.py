"""Whether code of others may run."""

from __future__ import annotations

from faceenc.core import ConfigError


def check_trust(trust_code: bool, what: str) -> None:
    """Raises ConfigError unless code of others is trusted; `what` says which would run."""
    if not trust_code:
        raise ConfigError(f"{what}: add `trust_code` if you trust it with this computer")
