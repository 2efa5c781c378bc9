"""Deletes a campaign's Jobs and its Lease after `helm uninstall`, if the namespace of attempts stays.

It runs once in the controller's image, with an account of its own. By then the controller and its rights are gone, so
no new Job appears. The chart hands the file to `python -c` with one JSON argument, so it uses the standard library
only.
"""

import json
import ssl
import sys
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")


def delete(address: str, path: str, **query: str) -> None:
    """Send one DELETE request; 404 means that the object is gone already."""
    context = ssl.create_default_context(cafile=str(ACCOUNT / "ca.crt"))
    headers = {"Authorization": f"Bearer {(ACCOUNT / 'token').read_text()}"}
    url = f"https://{address}{path}?{urllib.parse.urlencode(query)}"
    try:
        urllib.request.urlopen(
            urllib.request.Request(url, method="DELETE", headers=headers), context=context, timeout=30
        ).close()
    except urllib.error.HTTPError as error:
        if error.code != 404:
            raise


def main() -> None:
    """Delete the campaign's Jobs with their pods, then its Lease."""
    asked = json.loads(sys.argv[1])
    address, runs, selector = asked["api"], asked["runs"], asked["selector"]
    # A ConfigMap normally goes with the Job that owns it; one whose Job was never created has no owner yet.
    for path in (f"/apis/batch/v1/namespaces/{runs}/jobs", f"/api/v1/namespaces/{runs}/configmaps"):
        delete(address, path, labelSelector=selector, propagationPolicy="Background")
    delete(address, f"/apis/batch/v1/namespaces/{runs}/jobs/{asked['preparing']}", propagationPolicy="Background")
    delete(address, f"/apis/coordination.k8s.io/v1/namespaces/{runs}/leases/{asked['lease']}")
    sys.stdout.write(f"removed what campaign {asked['lease']} had in namespace {runs}\n")


if __name__ == "__main__":
    main()
