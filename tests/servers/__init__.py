"""Emulators of model servers on the loopback: each keeps to what its documentation, or reports about it, say."""
