"""A real Kubernetes for the tests: started here in seconds, broken on purpose, ended without a trace.

Built from Go modules and Debian packages; see ../README.md. It tests nothing itself and knows nothing of autoresearch.
"""

from .built import BuiltCluster
from .cluster import Cluster, Manifest
from .components import ClusterSpec
from .fixtures import FreshCluster
from .images import BUSYBOX_IMAGE
from .namespaces import NamespacePair
from .waiting import ClusterError, DeadlineError, wait_until

__all__ = [
    "BUSYBOX_IMAGE",
    "BuiltCluster",
    "Cluster",
    "ClusterError",
    "ClusterSpec",
    "DeadlineError",
    "FreshCluster",
    "Manifest",
    "NamespacePair",
    "wait_until",
]
