"""Checks for `helm test` that the controller has exactly the rights of its Role.

It runs in the controller's image, with the controller's service account. The chart hands the file to `python -c` with
one JSON argument, the rules of the Role and their namespace, so it uses the standard library only.
"""

import json
import ssl
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
VERBS = ("create", "get", "list", "watch", "update", "patch", "delete", "deletecollection")
RESOURCES = (
    ("", "pods"),
    ("", "pods/log"),
    ("", "pods/exec"),
    ("", "pods/attach"),
    ("", "pods/portforward"),
    ("", "pods/ephemeralcontainers"),
    ("", "configmaps"),
    ("", "secrets"),
    ("", "events"),
    ("", "services"),
    ("", "serviceaccounts"),
    ("", "serviceaccounts/token"),
    ("", "persistentvolumeclaims"),
    ("", "resourcequotas"),
    ("", "limitranges"),
    ("batch", "jobs"),
    ("batch", "jobs/status"),
    ("batch", "cronjobs"),
    ("apps", "deployments"),
    ("coordination.k8s.io", "leases"),
    ("networking.k8s.io", "networkpolicies"),
    ("rbac.authorization.k8s.io", "roles"),
    ("rbac.authorization.k8s.io", "rolebindings"),
)
CLUSTER = (
    ("", "nodes"),
    ("", "nodes/proxy"),
    ("", "namespaces"),
    ("", "persistentvolumes"),
    ("rbac.authorization.k8s.io", "clusterroles"),
    ("rbac.authorization.k8s.io", "clusterrolebindings"),
    ("admissionregistration.k8s.io", "validatingadmissionpolicies"),
    ("admissionregistration.k8s.io", "validatingwebhookconfigurations"),
)


class Question(NamedTuple):
    """One right: `verb` on `resource` of `group` in `namespace`, which is empty for the whole cluster."""

    namespace: str
    verb: str
    group: str
    resource: str

    def __str__(self) -> str:
        where = f"in {self.namespace}" if self.namespace else "in the whole cluster"
        return f"{self.verb} {self.resource}{f'.{self.group}' if self.group else ''} {where}"


def granted(rules: list[dict[str, list[str]]], namespace: str) -> set[Question]:
    """The rights that the rules of the Role give."""
    return {
        Question(namespace, verb, group, resource)
        for rule in rules
        for group, resource, verb in product(rule["apiGroups"], rule["resources"], rule["verbs"])
    }


def questions(asked: dict[str, Any]) -> set[Question]:
    """All rights to ask about: those of the Role, and those that the controller must not have."""
    places = {asked["runs"], asked["own"], "kube-system", ""}
    inside = {Question(place, verb, *resource) for place, verb, resource in product(places, VERBS, RESOURCES)}
    whole = {Question("", verb, *resource) for verb, resource in product(VERBS, CLUSTER)}
    return inside | whole | granted(asked["rules"], asked["runs"])


class Api:
    """The API server, asked as this pod's service account."""

    def __init__(self, address: str) -> None:
        self._url = f"https://{address}/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
        self._context = ssl.create_default_context(cafile=str(ACCOUNT / "ca.crt"))
        self._token = (ACCOUNT / "token").read_text()

    def allows(self, question: Question) -> bool:
        """True if the API server allows it (SelfSubjectAccessReview)."""
        resource, _, subresource = question.resource.partition("/")
        attributes = {
            "namespace": question.namespace,
            "verb": question.verb,
            "group": question.group,
            "resource": resource,
            "subresource": subresource,
        }
        body = {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SelfSubjectAccessReview",
            "spec": {"resourceAttributes": attributes},
        }
        headers = {"Authorization": f"Bearer {self._token}", "Content-Type": "application/json"}
        request = urllib.request.Request(self._url, data=json.dumps(body).encode(), headers=headers)
        with urllib.request.urlopen(request, context=self._context, timeout=10) as reply:
            return bool(json.load(reply)["status"]["allowed"])


def differences(asked: dict[str, Any], api: Api) -> Iterator[str]:
    """Yield one line for each right that is missing or too many."""
    must = granted(asked["rules"], asked["runs"])
    every = sorted(questions(asked))
    with ThreadPoolExecutor(max_workers=8) as pool:
        answers = dict(zip(every, pool.map(api.allows, every), strict=True))
    for question, allowed in answers.items():
        if allowed and question not in must:
            yield f"FAIL rights     may {question}, and must not"
        if not allowed and question in must:
            yield f"FAIL rights     may not {question}, and must"


def main() -> int:
    """Print the differences; returns 1 if there are any."""
    asked = json.loads(sys.argv[1])
    try:
        found = list(differences(asked, Api(asked["api"])))
    except (OSError, urllib.error.URLError) as error:
        found = [f"FAIL rights     the Kubernetes API at {asked['api']} cannot be asked: {error}"]
    total = len(questions(asked))
    words = found or [f"ok   rights     exactly {len(granted(asked['rules'], asked['runs']))} of {total} allowed"]
    sys.stdout.write("\n".join(words) + "\n")
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main())
