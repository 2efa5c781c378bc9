"""Clusters for humans: `python -m tests.cluster.harness up` leaves one running until `down`."""

from __future__ import annotations

import argparse
import os
import shlex
import sys

from . import slots
from .binaries import binary, program
from .builder import forget_images
from .built import COMPONENTS, BuiltCluster
from .choice import Missing, choose_built, look_around
from .components import ClusterSpec
from .errors import ClusterError
from .packages import packages_step
from .preparation import prepare
from .slots import kept

USAGE = """\
up [--gpus N] [--name NAME]    start a cluster, or say that it runs
down [--name NAME]             end it
kubectl ARGUMENTS              run kubectl on it
env [--name NAME]              print what a shell evaluates, for kubectl and for pytest
forget-images                  empty the image store, as on a machine that has never built any; programs stay
"""


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.cluster.harness", usage=USAGE, allow_abbrev=False)
    parser.add_argument("verb", choices=["up", "down", "kubectl", "env", "forget-images"])
    parser.add_argument("--name", default="dev")
    parser.add_argument("--gpus", type=int, default=4)
    options, rest = parser.parse_known_args(argv)
    if rest and options.verb != "kubectl":
        parser.error(f"unknown: {' '.join(rest)}")
    try:
        return _carry_out(options.verb, options.name, options.gpus, rest)
    except ClusterError as error:
        print(error, file=sys.stderr)
        return 1


def _carry_out(verb: str, name: str, gpus: int, rest: list[str]) -> int:
    match verb:
        case "up":
            _up(name, gpus)
        case "down":
            BuiltCluster.attach(name).stop()
            print(f"ended cluster {name}")
        case "kubectl":
            program = str(binary("kubectl"))
            config = BuiltCluster.attach(name).harness_kubeconfig
            os.execv(program, [program, f"--kubeconfig={config}", *rest])
        case "env":
            _print_environment(BuiltCluster.attach(name))
        case "forget-images":
            slots.forget_images()
            forget_images()
    return 0


def _up(name: str, gpus: int) -> None:
    match choose_built(look_around()):
        case Missing(reason):
            raise ClusterError(reason)
    if failed := prepare([packages_step(), *(program(name) for name in (*COMPONENTS, "pause"))]):
        raise ClusterError("; ".join(failed.values()))
    if kept(name) is None:
        BuiltCluster.start(name, ClusterSpec(gpus=gpus), keep=True, slot=0)
    print(f'cluster {name} runs: eval "$(python -m tests.cluster.harness env --name {name})"', file=sys.stderr)


def _print_environment(cluster: BuiltCluster) -> None:
    config = shlex.quote(str(cluster.kubeconfig))
    folder = shlex.quote(str(binary("kubectl").parent))
    print(f"export KUBECONFIG={config}\nexport AUTORESEARCH_TEST_KUBECONFIG={config}\nexport PATH={folder}:$PATH")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
