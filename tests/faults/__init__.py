"""Nights that are killed, filled up, starved and crowded, against real processes."""
