"""One page about a run: `halocline report`."""
