"""The programs of the cluster, built from the Go modules beside this package and cached by their sources' hash."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from .cache import cache_folder, digest_of, make_once
from .errors import ClusterError
from .preparation import Step
from .processes import DIES_WITH_US

GO = Path(__file__).parents[1] / "go"
KUBERNETES_VERSION = "1.34.4"


@dataclass(frozen=True, slots=True)
class Module:
    """A Go module below tests/cluster/go. programs: what to build, by import path; links: names it answers to."""

    folder: str
    programs: dict[str, str]
    minutes: int
    links: tuple[str, ...] = ()
    ldflags: str = ""
    tags: str = ""


def _kubernetes_version_flags() -> str:
    # Without them the server calls itself v0.0.0-master, which `kubectl version` cannot parse.
    major, minor, _ = KUBERNETES_VERSION.split(".")
    variables = {"gitVersion": f"v{KUBERNETES_VERSION}", "gitMajor": major, "gitMinor": minor}
    return " ".join(f"-X k8s.io/component-base/version.{name}={value}" for name, value in variables.items())


MODULES = (
    Module(
        "kubernetes",
        {"kubernetes": "."},
        minutes=6,
        links=("kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubelet", "kube-proxy", "kubectl"),
        ldflags=_kubernetes_version_flags(),
    ),
    Module("pause", {"pause": "."}, minutes=1),
    Module("helm", {"helm": "helm.sh/helm/v4/cmd/helm"}, minutes=3),
    Module("kwok", {"kwok": "sigs.k8s.io/kwok/cmd/kwok"}, minutes=3),
    Module("kube-router", {"kube-router": "github.com/cloudnativelabs/kube-router/v2/cmd/kube-router"}, minutes=3),
    Module(
        "prometheus-operator",
        {"operator": "github.com/prometheus-operator/prometheus-operator/cmd/operator"},
        minutes=4,
    ),
    # A module of its own: it is built against other Kubernetes libraries than the rest.
    Module("kueue", {"kueue": "sigs.k8s.io/kueue/cmd/kueue"}, minutes=3),
    Module(
        "prometheus",
        {name: f"github.com/prometheus/prometheus/cmd/{name}" for name in ("prometheus", "promtool")},
        minutes=4,
        # Without the clients of two dozen clouds, which are most of it.
        tags="remove_all_sd,enable_kubernetes_sd,enable_dns_sd",
    ),
)


def binary(name: str) -> Path:
    """The path of a program, built first if need be: a component, or any other that `MODULES` names.

    Raises ClusterError with the compiler's words when the build fails.
    """
    return build(_module_of(name)) / name


def program(name: str) -> Step:
    """The preparation that builds a program, with the others of its module."""
    module = _module_of(name)
    return Step(module.folder, module.minutes, made=lambda: _place_of(module).exists(), make=partial(build, module))


def source_of(program: str, dependency: str) -> Path:
    """Folder in which Go keeps the sources of a dependency of a program's module, charts and manifests included."""
    folder = GO / _module_of(program).folder
    command = ["go", "list", "-m", "-f", "{{.Dir}}", dependency]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    if done.returncode != 0:
        raise ClusterError(f"{' '.join(command)} in {folder}: {done.stderr.strip()}")
    return Path(done.stdout.strip())


def _module_of(name: str) -> Module:
    return next(m for m in MODULES if name in m.programs or name in m.links)


def build(module: Module) -> Path:
    """The folder with a module's programs; other processes that want it too wait for one build."""
    return make_once(_place_of(module), partial(_compile, module))


def _place_of(module: Module) -> Path:
    return cache_folder() / "bin" / f"{module.folder}-{_digest(module)}"


def _digest(module: Module) -> str:
    folder = GO / module.folder
    sources = [path for path in folder.iterdir() if path.suffix in {".mod", ".sum", ".go"}]
    return digest_of(sources, root=folder, extra=f"{module.programs}{module.links}{module.ldflags}{module.tags}")


def _compile(module: Module, folder: Path) -> None:
    folder.mkdir()
    for name, package in module.programs.items():
        _go_build(module, package, output=folder / name)
    for link in module.links:
        (folder / link).symlink_to(next(iter(module.programs)))


def _go_build(module: Module, package: str, *, output: Path) -> None:
    # Nice, and two at a time: whoever shares the machine should not notice.
    command = [
        *DIES_WITH_US,
        "nice",
        "-n",
        "10",
        "go",
        "build",
        "-p",
        "2",
        "-trimpath",
        "-mod=readonly",
        "-buildvcs=false",
    ]
    command += ["-ldflags", f"-s -w {module.ldflags}".strip(), "-tags", module.tags, "-o", str(output), package]
    done = subprocess.run(
        command,
        cwd=GO / module.folder,
        env={**os.environ, "CGO_ENABLED": "0"},
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
    )
    if done.returncode != 0:
        raise ClusterError(f"go build {package} in {GO / module.folder} failed:\n{done.stderr[-4000:]}")
