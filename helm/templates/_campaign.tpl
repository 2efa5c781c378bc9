{{- /*
The campaign as the controller reads it: the values, laid over what only the chart can know.
Returns YAML; use `include "autoresearch.campaign" . | fromYaml`.
*/ -}}
{{- define "autoresearch.campaign" -}}
{{- $name := include "autoresearch.fullname" . -}}
{{- $given := deepCopy .Values.campaign -}}
{{- $pulled := (($given.executor).kubernetes) | default dict -}}
{{- $known := dict
  "tag" "demo"
  "agent" (dict "kind" (ternary "claude" "perturb" (not (empty .Values.agent.existingSecret))))
  "server" (dict "enabled" true "host" "0.0.0.0" "port" 8080)
  "executor" (dict "kind" "kubernetes" "slots" 1 "kubernetes" (dict
    "namespace" (printf "%s-runs" .Release.Namespace)
    "image" (include "autoresearch.image" (dict "root" . "image" .Values.trainerImage))
    "image_pull_policy" .Values.image.pullPolicy
    "image_pull_secrets" .Values.imagePullSecrets
    "service_account" (printf "%s-attempt" $name)
    "data_claim" (default (printf "%s-data" $name) .Values.data.existingClaim)
    "lease_seconds" 4
    "gpus" 1
    "gpu_resource" "nvidia.com/gpu"
  ))
-}}
{{- /* An empty text is no choice: it means what leaving it out means. */ -}}
{{- range $key := list "image" "service_account" "data_claim" -}}
{{- if and (hasKey $pulled $key) (empty (get $pulled $key)) -}}{{- $_ := unset $pulled $key -}}{{- end -}}
{{- end -}}
{{- if .Values.brief -}}
{{- $_ := set $known "brief" "/etc/autoresearch/program.md" -}}
{{- end -}}
{{- $campaign := mustMergeOverwrite $known $given -}}
{{- /* Helm drops a value that is set to null; for a limit, gone means unlimited, not the default. */ -}}
{{- $budget := $campaign.budget | default dict -}}
{{- range $limit := list "experiments" "hours" "gpu_hours" "dollars" -}}
{{- if not (hasKey $budget $limit) -}}{{- $_ := set $budget $limit nil -}}{{- end -}}
{{- end -}}
{{- $_ := set $campaign "budget" $budget -}}
{{- toYaml $campaign -}}
{{- end -}}

{{- define "autoresearch.runner.namespace" -}}
{{- (include "autoresearch.campaign" . | fromYaml).executor.kubernetes.namespace -}}
{{- end -}}

{{- /* Mistakes that would otherwise show as a pod that restarts. */ -}}
{{- define "autoresearch.check" -}}
{{- $campaign := include "autoresearch.campaign" . | fromYaml -}}
{{- $budget := $campaign.budget -}}
{{- $runs := $campaign.executor.kubernetes.namespace -}}
{{- if ne $campaign.executor.kind "kubernetes" -}}
{{- fail "campaign.executor.kind must be kubernetes here: leave it out" -}}
{{- end -}}
{{- if not $campaign.server.enabled -}}
{{- fail "campaign.server.enabled must stay true: probes and metrics need it" -}}
{{- end -}}
{{- if eq $runs .Release.Namespace -}}
{{- fail (printf "campaign.executor.kubernetes.namespace is the release's own namespace (%s): attempts would run beside the API key and the lab; give them another" $runs) -}}
{{- end -}}
{{- if not (regexMatch "^[a-z0-9]([a-z0-9-]{0,28}[a-z0-9])?$" $campaign.tag) -}}
{{- fail (printf "campaign.tag must be 1 to 30 lower-case letters, digits and inner hyphens (got %q)" $campaign.tag) -}}
{{- end -}}
{{- if not (or $budget.experiments $budget.hours $budget.gpu_hours $budget.dollars) -}}
{{- fail "campaign.budget needs at least one limit: experiments, hours, gpu_hours or dollars" -}}
{{- end -}}
{{- if and (eq $campaign.agent.kind "claude") (not .Values.agent.existingSecret) -}}
{{- fail "campaign.agent.kind is claude, but there is no key: kubectl create secret generic anthropic --from-literal=api-key=..., then set agent.existingSecret=anthropic" -}}
{{- end -}}
{{- if and (eq $campaign.agent.kind "replay") (not $campaign.agent.patches) -}}
{{- fail "campaign.agent.kind is replay: mount the patches with controller.extraVolumes and name their folder in campaign.agent.patches" -}}
{{- end -}}
{{- range .Values.controller.extraEnv -}}
{{- if eq .name "ANTHROPIC_API_KEY" -}}
{{- fail "controller.extraEnv holds ANTHROPIC_API_KEY: a key is never a value, which the release would store; make a Secret and set agent.existingSecret" -}}
{{- end -}}
{{- end -}}
{{- if and .Values.brief .Values.campaign.brief -}}
{{- fail "brief and campaign.brief are both given: the first is the text, the second the path of a file; use one" -}}
{{- end -}}
{{- end -}}
