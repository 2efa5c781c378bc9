"""Addresses, ranges, folders and names of one cluster, all derived from its slot's number.

Pure. Two clusters with different numbers share nothing but the machine's kernel, processors and disk.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

SLOTS = 16


@dataclass(frozen=True, slots=True)
class Layout:
    """The place of the cluster in slot number `slot`, which its maker calls `name`.

    root: state of this run, removed at the end; store: containerd's images, kept for the next run of the slot.
    """

    slot: int
    name: str
    root: Path
    store: Path

    @property
    def node_name(self) -> str:
        return f"node-{self.name}"

    @property
    def host_link(self) -> str:
        """The machine's end of the cable to the cluster's network namespace."""
        return f"artest{self.slot}"

    @property
    def host_address(self) -> str:
        return f"10.99.{self.slot}.254"

    @property
    def node_address(self) -> str:
        return f"10.99.{self.slot}.1"

    @property
    def pod_range(self) -> str:
        return f"10.88.{self.slot}.0/24"

    @property
    def service_range(self) -> str:
        return f"10.96.{self.slot}.0/24"

    @property
    def api_service_address(self) -> str:
        """Address at which pods find the API server: always the first one of the service range."""
        return f"10.96.{self.slot}.1"

    @property
    def api_server(self) -> str:
        return f"https://{self.node_address}:6443"

    @property
    def faulty_api_server(self) -> str:
        """The API server behind the proxy that faults cut."""
        return f"https://{self.node_address}:7443"

    @property
    def cgroup(self) -> str:
        return f"autoresearch-test-{self.slot}"

    @property
    def logs(self) -> Path:
        return self.root / "logs"

    @property
    def certificates(self) -> Path:
        return self.root / "certificates"

    @property
    def control_socket(self) -> Path:
        return self.root / "control.sock"

    @property
    def proxy_socket(self) -> Path:
        return self.root / "proxy.sock"

    @property
    def containerd_socket(self) -> Path:
        return self.root / "containerd.sock"

    @property
    def kubeconfig(self) -> Path:
        """The administrator's, through the proxy that faults cut: for what is being tested."""
        return self.root / "kubeconfig"

    @property
    def direct_kubeconfig(self) -> Path:
        """The administrator's, straight to the API server: for the harness and for measurements."""
        return self.root / "direct.kubeconfig"
