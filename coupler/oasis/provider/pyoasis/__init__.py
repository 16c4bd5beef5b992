"""`import pyoasis` for scripts written for OASIS3-MCT's own package: the binding of Halocline under its name."""

from typing import Any

import coupler.oasis


def __getattr__(name: str) -> Any:
    return getattr(coupler.oasis, name)


def __dir__() -> list[str]:
    return dir(coupler.oasis)
