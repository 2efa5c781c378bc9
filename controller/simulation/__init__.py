"""Whole campaigns on a virtual clock: the real planner and judge against stochastic worlds. No git, no executor.

worlds    what edits are truly worth, and what disturbs a measurement
programs  programs with a true level: merged, conflicting and partly undone ones
machine   slow drift and bursts of disturbance
campaign  one campaign: carries out what the planner says
study     many campaigns on all cores, and what they measured
table     the same as Markdown and as JSON
"""
