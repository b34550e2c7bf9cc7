"""Tells somebody when this host needs attention, and when that is over."""
