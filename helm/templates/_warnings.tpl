{{- /*
Warnings for the notes: one line each, which says the fault and the remedy. `lookup` asks the cluster at install and
upgrade; in `helm template` it returns nothing, and only the warnings about values remain.

  autoresearch.warnings                all warnings
  autoresearch.accelerators            number of allocatable GPUs on the nodes that attempts may use (dict root, nodes)
  autoresearch.warnings.accelerators   no node has the GPUs that an attempt asks for
  autoresearch.warnings.network        the cluster does not seem to enforce NetworkPolicy
  autoresearch.warnings.volumes        no default StorageClass; data on one node only
  autoresearch.warnings.key            the Secret with the model's key is missing
  autoresearch.warnings.namespace      the namespace of attempts is missing or does not enforce Pod Security
  autoresearch.warnings.prometheus     no Prometheus selects the ServiceMonitor
  autoresearch.warnings.budget         budgets and data that do not fit a GPU; unlimited dollars
  autoresearch.warnings.images         the trainer image is named by a tag
*/ -}}

{{- define "autoresearch.warnings" -}}
{{- if .Values.lookups -}}
{{- $nodes := (lookup "v1" "Node" "" "").items | default list -}}
{{- if $nodes -}}
{{- include "autoresearch.warnings.accelerators" (dict "root" . "nodes" $nodes) }}
{{ include "autoresearch.warnings.network" (dict "root" . "nodes" $nodes) }}
{{ include "autoresearch.warnings.volumes" (dict "root" . "nodes" $nodes) }}
{{ include "autoresearch.warnings.key" . }}
{{ include "autoresearch.mcp.warning" . }}
{{ include "autoresearch.warnings.namespace" . }}
{{ include "autoresearch.warnings.prometheus" . }}
{{- end -}}
{{- end }}
{{ include "autoresearch.warnings.budget" . }}
{{ include "autoresearch.warnings.images" . }}
{{- end -}}

{{- define "autoresearch.accelerators" -}}
{{- $kubernetes := (include "autoresearch.campaign" .root | fromYaml).executor.kubernetes -}}
{{- $sum := 0 -}}
{{- range .nodes -}}
{{- $labels := .metadata.labels | default dict -}}
{{- $fits := true -}}
{{- range $key, $value := $kubernetes.node_selector | default dict -}}
{{- if ne (get $labels $key) $value -}}{{- $fits = false -}}{{- end -}}
{{- end -}}
{{- if $fits -}}{{- $sum = add $sum (get (.status.allocatable | default dict) $kubernetes.gpu_resource | default "0" | int) -}}{{- end -}}
{{- end -}}
{{- $sum -}}
{{- end -}}

{{- define "autoresearch.warnings.accelerators" -}}
{{- $kubernetes := (include "autoresearch.campaign" .root | fromYaml).executor.kubernetes -}}
{{- $found := include "autoresearch.accelerators" . | int -}}
{{- if lt $found (int $kubernetes.gpus) -}}
no node{{ if $kubernetes.node_selector }} with the labels of campaign.executor.kubernetes.node_selector{{ end }} has {{ $kubernetes.gpus }} {{ $kubernetes.gpu_resource }} allocatable (found {{ $found }}): attempts will wait. Install the device plugin, or train on CPUs with campaign.executor.kubernetes.gpus=0. See docs/install.md
{{- end -}}
{{- end -}}

{{- define "autoresearch.warnings.network" -}}
{{- $enforcing := list -}}
{{- range (lookup "apps/v1" "DaemonSet" "" "").items | default list -}}
{{- $name := .metadata.name -}}
{{- if has $name (list "calico-node" "canal" "rke2-canal" "cilium" "anetd" "antrea-agent" "kube-router" "kindnet" "weave-net" "azure-npm" "ovnkube-node") -}}
{{- $enforcing = append $enforcing $name -}}
{{- end -}}
{{- if eq $name "aws-node" -}}
{{- range .spec.template.spec.containers -}}
{{- if has "--enable-network-policy=true" (.args | default list) -}}{{- $enforcing = append $enforcing "aws-node" -}}{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- range .nodes -}}
{{- if contains "k3s" .status.nodeInfo.kubeletVersion -}}{{- $enforcing = append $enforcing "k3s" -}}{{- end -}}
{{- end -}}
{{- if not .root.Values.networkPolicy.enabled -}}
networkPolicy.enabled is false: attempts can reach the network, the cluster and the cloud's metadata
{{- else if not $enforcing -}}
no network plug-in that enforces NetworkPolicy was found: attempts could reach the network. `helm test {{ .root.Release.Name }} -n {{ .root.Release.Namespace }}` tries it. See docs/install.md
{{- end -}}
{{- end -}}

{{- define "autoresearch.warnings.volumes" -}}
{{- $executor := (include "autoresearch.campaign" .root | fromYaml).executor -}}
{{- $lab := and (not .root.Values.lab.existingClaim) (not .root.Values.lab.storageClass) -}}
{{- $data := and (not .root.Values.data.existingClaim) (not .root.Values.data.storageClass) -}}
{{- $default := false -}}
{{- range (lookup "storage.k8s.io/v1" "StorageClass" "" "").items | default list -}}
{{- if eq (get (.metadata.annotations | default dict) "storageclass.kubernetes.io/is-default-class") "true" -}}{{- $default = true -}}{{- end -}}
{{- end -}}
{{- if and (or $lab $data) (not $default) -}}
the cluster has no default StorageClass: set lab.storageClass and data.storageClass, or the claims stay unbound
{{ end -}}
{{- if and (gt (int $executor.slots) 1) (gt (len .nodes) 1) (not .root.Values.data.existingClaim) (not (has "ReadWriteMany" .root.Values.data.accessModes)) -}}
data.accessModes has no ReadWriteMany: all {{ $executor.slots }} slots share the one node that holds the volume with the data
{{- end -}}
{{- end -}}

{{- define "autoresearch.warnings.key" -}}
{{- with .Values.agent -}}
{{- if .existingSecret -}}
{{- $secret := lookup "v1" "Secret" $.Release.Namespace .existingSecret -}}
{{- if not $secret -}}
there is no Secret {{ .existingSecret }} in namespace {{ $.Release.Namespace }}: the controller waits for it. kubectl -n {{ $.Release.Namespace }} create secret generic {{ .existingSecret }} --from-literal={{ .secretKey }}=...
{{- else if not (hasKey ($secret.data | default dict) .secretKey) -}}
Secret {{ .existingSecret }} has no key {{ .secretKey }}: set agent.secretKey to one of {{ $secret.data | default dict | keys | sortAlpha | join ", " }}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "autoresearch.warnings.namespace" -}}
{{- $runs := include "autoresearch.runner.namespace" . -}}
{{- if not .Values.runner.createNamespace -}}
{{- with lookup "v1" "Namespace" "" $runs -}}
{{- if ne (get (.metadata.labels | default dict) "pod-security.kubernetes.io/enforce") "restricted" -}}
namespace {{ $runs }} does not enforce Pod Security: kubectl label namespace {{ $runs }} pod-security.kubernetes.io/enforce=restricted
{{- end -}}
{{- else -}}
there is no namespace {{ $runs }}, and runner.createNamespace is false
{{- end -}}
{{- end }}
{{ if and .Values.runner.admission.enabled (not (semverCompare ">=1.30-0" .Capabilities.KubeVersion.Version)) -}}
this cluster has no ValidatingAdmissionPolicy (Kubernetes 1.30 or newer): any image may run in namespace {{ $runs }}
{{- end -}}
{{- end -}}

{{- define "autoresearch.warnings.prometheus" -}}
{{- if and .Values.serviceMonitor.enabled (.Capabilities.APIVersions.Has "monitoring.coreos.com/v1/ServiceMonitor") -}}
{{- $ours := mergeOverwrite (include "autoresearch.labels" . | fromYaml) .Values.serviceMonitor.additionalLabels -}}
{{- $selected := false -}}
{{- $wanted := dict -}}
{{- range (lookup "monitoring.coreos.com/v1" "Prometheus" "" "").items | default list -}}
{{- $selector := .spec.serviceMonitorSelector | default dict -}}
{{- $fits := true -}}
{{- range $key, $value := $selector.matchLabels | default dict -}}
{{- if ne (get $ours $key | toString) $value -}}{{- $fits = false -}}{{- $_ := set $wanted $key $value -}}{{- end -}}
{{- end -}}
{{- if $fits -}}{{- $selected = true -}}{{- end -}}
{{- end -}}
{{- if and $wanted (not $selected) -}}
Prometheus will not select the ServiceMonitor: --set {{ range $key, $value := $wanted }}serviceMonitor.additionalLabels.{{ $key | replace "." "\\." }}={{ $value }},prometheusRule.additionalLabels.{{ $key | replace "." "\\." }}={{ $value }}{{ end }}
{{- end -}}
{{- end -}}
{{- end -}}

{{- /* The same warnings as of `autoresearch run` at its start: controller/costs/forecast.py. */ -}}
{{- define "autoresearch.warnings.budget" -}}
{{- $campaign := include "autoresearch.campaign" . | fromYaml -}}
{{- $budget := $campaign.budget -}}
{{- $ours := not ($campaign.task).folder -}}
{{- $sourced := false -}}
{{- range ($campaign.task).prepare -}}{{- if hasPrefix "--source" . -}}{{- $sourced = true -}}{{- end -}}{{- end -}}
{{- if and $ours (eq (include "autoresearch.device" $campaign.executor.kubernetes) "gpu") -}}
{{- if le (float64 $budget.train_seconds) 60.0 -}}
campaign.budget.train_seconds is {{ $budget.train_seconds }}, and the first step of a training on a GPU compiles for up to 60 s: leave it out, or train on CPUs with campaign.executor.kubernetes.gpus=0
{{ end -}}
{{- if not $sourced -}}
the data are the Python library's own sources, some 4 million tokens, which a GPU reads dozens of times in one run: enough to try it out. For research name a text in campaign.task.prepare ([--source, "hf:ORG/NAME"]), and let its Job out with data.download.enabled=true
{{- end -}}
{{- end }}
{{ if and (eq $campaign.agent.kind "claude") (not $budget.dollars) (not $budget.experiments) -}}
the model's calls cost dollars that nothing limits: set campaign.budget.dollars
{{- end -}}
{{- end -}}

{{- define "autoresearch.warnings.images" -}}
{{- $image := (include "autoresearch.campaign" . | fromYaml).executor.kubernetes.image -}}
{{- if not (contains "@sha256:" $image) -}}
the trainer image {{ $image }} is named by a tag: whoever may push it can change the exam. Use trainerImage.digest
{{- end -}}
{{- end -}}
