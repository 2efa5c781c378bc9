"""Honest: float32 arithmetic. Must be scored."""

from tiny_model import honest_model as load_model

__all__ = ["load_model"]
