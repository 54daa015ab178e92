"""Objectives: functions to go down, their mini-batches, their curvature."""
