"""Runs every try as one isolated Job. `job`, `outcome` and `result` are pure; `connection` alone knows the library."""

from controller.executor.kubernetes.executor import KubernetesExecutor

__all__ = ["KubernetesExecutor"]
