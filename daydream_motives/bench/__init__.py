"""Measurements, as ratios within one run: times alone mean little on a shared machine."""
