"""The two exceptions of pyoasis; both are shown to the user as a sentence."""

from coupler.errors import HaloclineError


class PyOasisException(HaloclineError):
    """A wrong call or a wrong configuration, found before OASIS saw it."""


class OasisException(HaloclineError):
    """An error code returned by OASIS; shown as `text (code)`."""

    def __init__(self, text: str, error: int) -> None:
        super().__init__(f"{text} ({error})")
        self.error = error
