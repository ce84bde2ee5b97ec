"""Clocks, memory meters, digests and the facts of the machine."""
