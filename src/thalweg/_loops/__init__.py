"""Loops: what makes the steps of a run, a sweep or a sampling, and the host's side of it."""
