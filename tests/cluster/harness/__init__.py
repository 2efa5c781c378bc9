"""A real Kubernetes for the tests: started here in seconds, broken on purpose, ended without a trace.

Built from Go modules and Debian packages; see ../README.md. It tests nothing itself and knows nothing of autoresearch.
"""

from .builder import build_image, image_store
from .built import BuiltCluster
from .cluster import Cluster, Manifest
from .components import ClusterSpec
from .errors import ClusterError
from .fixtures import FreshCluster
from .images import BUSYBOX_IMAGE, base_image
from .namespaces import NamespacePair
from .oci import Image, image_of_files

__all__ = [
    "BUSYBOX_IMAGE",
    "BuiltCluster",
    "Cluster",
    "ClusterError",
    "ClusterSpec",
    "FreshCluster",
    "Image",
    "Manifest",
    "NamespacePair",
    "base_image",
    "build_image",
    "image_of_files",
    "image_store",
]
