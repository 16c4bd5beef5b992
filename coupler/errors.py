"""The one exception that a user is meant to see."""


class HaloclineError(Exception):
    """A user's mistake, or a condition the user must see; printed without traceback."""
