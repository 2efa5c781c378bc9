{{- /*
  autoresearch.runner.rules   everything that the controller may do, in the namespace of attempts only

It creates Jobs, and Kubernetes' Job controller creates their pods. It cannot execute commands in pods or read
Secrets. `helm test` compares this list with the rights that the API server reports.
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
# The Lease allows one controller for a campaign. It is in the namespace of attempts, which all its controllers share.
- apiGroups: [coordination.k8s.io]
  resources: [leases]
  verbs: [create, get, update]
{{- end -}}
