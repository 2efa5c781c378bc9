{{- /*
The campaign's settings, and the mistakes in values that the chart refuses.

  autoresearch.campaign           the settings as the controller reads them, as YAML
  autoresearch.platform           who serves the model
  autoresearch.key                variable that the model's key is read from
  autoresearch.vendors            vendors whose models a program that proposes may ask, as {list: [...]}
  autoresearch.proposals.port     port at which programs that propose reach the controller
  autoresearch.device             `gpu` or `cpu`: the device that attempts train on
  autoresearch.runner.namespace   namespace of attempts
  autoresearch.check              fails with one sentence for values that would make a pod restart for ever
  autoresearch.check.namespace    fails if the namespace of attempts belongs to another release or to nobody
  autoresearch.owner              release that an object of the cluster belongs to
*/ -}}

{{- /*
The values of `campaign`, merged over the settings that only the chart knows (names, images, namespace).
Returns YAML: `include "autoresearch.campaign" . | fromYaml`.
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
    "namespace" (include "autoresearch.runner.ownNamespace" .)
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
{{- /* An empty text means the same as leaving the value out. */ -}}
{{- range $key := list "image" "service_account" "data_claim" -}}
{{- if and (hasKey $pulled $key) (empty (get $pulled $key)) -}}{{- $_ := unset $pulled $key -}}{{- end -}}
{{- end -}}
{{- if .Values.brief -}}
{{- $_ := set $known "brief" "/etc/autoresearch/program.md" -}}
{{- end -}}
{{- if eq (($given.agent).kind | default "") "mcp" -}}
{{- $_ := set $given.agent "mcp" (mustMergeOverwrite ($given.agent.mcp | default dict) (include "autoresearch.mcp.known" . | fromYaml)) -}}
{{- end -}}
{{- $campaign := mustMergeOverwrite $known $given -}}
{{- /* Defaults follow the device. One limit in the values replaces all default limits; a null also counts as given. */ -}}
{{- $defaults := get (.Files.Get "defaults.json" | fromJson) (include "autoresearch.device" $campaign.executor.kubernetes) -}}
{{- $budget := $campaign.budget | default dict -}}
{{- $limited := false -}}
{{- range $limit, $_ := $defaults.limits -}}
{{- if hasKey $budget $limit -}}{{- $limited = true -}}{{- end -}}
{{- end -}}
{{- range $limit, $value := $defaults.limits -}}
{{- if not (hasKey $budget $limit) -}}{{- $_ := set $budget $limit (ternary nil $value $limited) -}}{{- end -}}
{{- end -}}
{{- if not (hasKey $budget "train_seconds") -}}{{- $_ := set $budget "train_seconds" $defaults.train_seconds -}}{{- end -}}
{{- $_ := set $campaign "budget" $budget -}}
{{- $task := $campaign.task | default dict -}}
{{- $named := hasKey $task "preset" -}}
{{- range $task.prepare -}}{{- if hasPrefix "--preset" . -}}{{- $named = true -}}{{- end -}}{{- end -}}
{{- if not (or $named (eq ($task.score | default "exam") "log")) -}}{{- $_ := set $task "preset" $defaults.preset -}}{{- end -}}
{{- $_ := set $campaign "task" $task -}}
{{- toYaml $campaign -}}
{{- end -}}

{{- /* Who serves the model, by the campaign's settings. */ -}}
{{- define "autoresearch.platform" -}}
{{- ((.agent).claude).platform | default "anthropic" -}}
{{- end -}}

{{- define "autoresearch.vendors" -}}
{{- $given := ((.agent).command).gateway | default list -}}
{{- toYaml (dict "list" (ternary $given list (eq .agent.kind "command"))) -}}
{{- end -}}

{{- /* The variable that the key is read from, of the platform or of the first vendor. Vertex AI has no keys. */ -}}
{{- define "autoresearch.key" -}}
{{- $vendors := (include "autoresearch.vendors" . | fromYaml).list -}}
{{- if $vendors -}}
{{- first $vendors | upper }}_API_KEY
{{- else -}}
{{- get (dict "bedrock" "AWS_BEARER_TOKEN_BEDROCK" "foundry" "ANTHROPIC_FOUNDRY_API_KEY") (include "autoresearch.platform" .) | default "ANTHROPIC_API_KEY" -}}
{{- end -}}
{{- end -}}

{{- /* The port at which programs that propose reach the controller. 0 is a value. */ -}}
{{- define "autoresearch.proposals.port" -}}
{{- $command := (.agent).command | default dict -}}
{{- hasKey $command "port" | ternary $command.port 8642 -}}
{{- end -}}

{{- /* As in controller/settings/defaults.py: a resource claim (DRA) and a slice of a GPU (MIG) count as GPUs. */ -}}
{{- define "autoresearch.device" -}}
{{- $gpu := or (gt (int .gpus) 0) (not (empty .resource_claims)) -}}
{{- range $name, $_ := .extra_resources | default dict -}}
{{- if regexMatch "(^|[^a-z])(gpu|mig)([^a-z]|$)" (lower $name) -}}{{- $gpu = true -}}{{- end -}}
{{- end -}}
{{- ternary "gpu" "cpu" $gpu -}}
{{- end -}}

{{- define "autoresearch.runner.namespace" -}}
{{- (include "autoresearch.campaign" . | fromYaml).executor.kubernetes.namespace -}}
{{- end -}}

{{- /* Without these checks the mistakes would only show as a pod that restarts again and again. */ -}}
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
{{- $identified := ne (include "autoresearch.platform" $campaign) "anthropic" -}}
{{- range .Values.controller.extraEnv -}}
{{- if eq .name "ANTHROPIC_IDENTITY_TOKEN_FILE" -}}{{- $identified = true -}}{{- end -}}
{{- end -}}
{{- if and (eq $campaign.agent.kind "claude") (not .Values.agent.existingSecret) (not $identified) -}}
{{- fail "campaign.agent.kind is claude, but there is no key: kubectl create secret generic anthropic --from-literal=api-key=..., then set agent.existingSecret=anthropic" -}}
{{- end -}}
{{- range $vendor := (include "autoresearch.vendors" $campaign | fromYaml).list -}}
{{- $variable := printf "%s_API_KEY" (upper $vendor) -}}
{{- $known := and $.Values.agent.existingSecret (eq $variable (include "autoresearch.key" $campaign)) -}}
{{- range $.Values.controller.extraEnv -}}
{{- if eq .name (printf "%s_FILE" $variable) -}}{{- $known = true -}}{{- end -}}
{{- end -}}
{{- if not $known -}}
{{- fail (printf "campaign.agent.command.gateway names %s, but there is no key: make a Secret and set agent.existingSecret; for a second vendor mount one by controller.extraVolumes, and name its file in %s_FILE" $vendor $variable) -}}
{{- end -}}
{{- end -}}
{{- if eq $campaign.agent.kind "command" -}}
{{- if not (($campaign.agent).command).run -}}
{{- fail "campaign.agent.kind is command: name the program and its arguments in campaign.agent.command.run, and its image in campaign.agent.command.image" -}}
{{- end -}}
{{- if $campaign.agent.command.mounts -}}
{{- fail "campaign.agent.command.mounts names files of one machine: on a cluster the program and all that it reads is in campaign.agent.command.image" -}}
{{- end -}}
{{- if eq (include "autoresearch.proposals.port" $campaign) "0" -}}
{{- fail "campaign.agent.command.port is 0, a free one: network policies need to know it" -}}
{{- end -}}
{{- end -}}
{{- if eq $campaign.agent.kind "mcp" -}}{{- include "autoresearch.mcp.check" . -}}{{- end -}}
{{- if and (eq $campaign.agent.kind "replay") (not $campaign.agent.patches) -}}
{{- fail "campaign.agent.kind is replay: mount the patches with controller.extraVolumes and name their folder in campaign.agent.patches" -}}
{{- end -}}
{{- range .Values.controller.extraEnv -}}
{{- if eq .name "AUTORESEARCH_MCP_TOKEN" -}}
{{- fail "controller.extraEnv holds AUTORESEARCH_MCP_TOKEN: a token is never a value, which the release would store; make a Secret and set mcp.existingSecret" -}}
{{- end -}}
{{- if has .name (list "ANTHROPIC_API_KEY" "OPENAI_API_KEY" "ANTHROPIC_FOUNDRY_API_KEY" "AWS_BEARER_TOKEN_BEDROCK") -}}
{{- fail (printf "controller.extraEnv holds %s: a key is never a value, which the release would store; make a Secret and set agent.existingSecret" .name) -}}
{{- end -}}
{{- end -}}
{{- if and .Values.brief .Values.campaign.brief -}}
{{- fail "brief and campaign.brief are both given: the first is the text, the second the path of a file; use one" -}}
{{- end -}}
{{- if .Values.lookups -}}
{{- include "autoresearch.check.namespace" (dict "root" . "runs" $runs) -}}
{{- end -}}
{{- end -}}

{{- /*
A namespace of attempts belongs to one release. If two shared it, the admission policy of each would refuse the Jobs of
the other, and uninstalling one would remove the data of the other.
*/ -}}
{{- define "autoresearch.check.namespace" -}}
{{- $release := .root.Release -}}
{{- $another := "give this release another, campaign.executor.kubernetes.namespace=..." -}}
{{- if .root.Values.runner.createNamespace -}}
{{- with lookup "v1" "Namespace" "" .runs -}}
{{- $owner := include "autoresearch.owner" . -}}
{{- if .metadata.deletionTimestamp -}}
{{- fail (printf "namespace %s is still being removed: install again when `kubectl get namespace %s` finds none" $.runs $.runs) -}}
{{- else if not $owner -}}
{{- fail (printf "namespace %s is there already, and of no release: use it as it is with runner.createNamespace=false, or %s" $.runs $another) -}}
{{- else if ne $owner (printf "%s in namespace %s" $release.Name $release.Namespace) -}}
{{- fail (printf "namespace %s holds the attempts of release %s: %s" $.runs $owner $another) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- range (lookup "rbac.authorization.k8s.io/v1" "Role" .runs "").items | default list -}}
{{- $owner := include "autoresearch.owner" . -}}
{{- $ours := eq (get (.metadata.labels | default dict) "app.kubernetes.io/part-of") "autoresearch" -}}
{{- if and $ours $owner (ne $owner (printf "%s in namespace %s" $release.Name $release.Namespace)) -}}
{{- fail (printf "namespace %s holds the attempts of release %s: %s" $.runs $owner $another) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- /* Helm notes the release in annotations of its objects. Returns "NAME in namespace NAMESPACE"; empty without them. */ -}}
{{- define "autoresearch.owner" -}}
{{- $annotations := .metadata.annotations | default dict -}}
{{- with get $annotations "meta.helm.sh/release-name" -}}
{{- . }} in namespace {{ get $annotations "meta.helm.sh/release-namespace" -}}
{{- end -}}
{{- end -}}
