"""Autoresearch: a controller that runs machine-learning experiments unattended and believes only sealed scores."""

__version__ = "0.1.0"
