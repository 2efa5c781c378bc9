{{- /*
All that the controller may do in the cluster, in the namespace of attempts and nowhere else. Pods are made by
the Job controller; nothing is executed in them, and there is no way to a Secret. `helm test` compares this
list with what the API server says.
*/ -}}
{{- define "autoresearch.runner.rules" -}}
- apiGroups: [batch]
  resources: [jobs]
  verbs: [create, get, list, watch, patch, delete]
- apiGroups: [""]
  resources: [pods]
  verbs: [get, list, watch, patch]
- apiGroups: [""]
  resources: [pods/log]
  verbs: [get]
- apiGroups: [""]
  resources: [configmaps]
  verbs: [create, get, patch, delete]
- apiGroups: [""]
  resources: [events]
  verbs: [create, list, watch]
# One controller for a campaign, whichever namespace it runs in: so the Lease is here, not beside it.
- apiGroups: [coordination.k8s.io]
  resources: [leases]
  verbs: [create, get, update]
{{- end -}}
