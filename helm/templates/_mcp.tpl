{{- /*
Clients of the Model Context Protocol, where campaign.agent.kind is mcp.

  autoresearch.mcp.known     settings that only the chart knows: the address, and the names by which clients may call it
  autoresearch.mcp.name      name of Service, NetworkPolicy and Secret
  autoresearch.mcp.secret    name of the Secret that holds the token
  autoresearch.mcp.check     fails with one sentence for values with which no client could come in
  autoresearch.mcp.warning   the Secret with the token is missing
*/ -}}

{{- define "autoresearch.mcp.known" -}}
{{- $given := ((.Values.campaign.agent).mcp) | default dict -}}
{{- $port := int (hasKey $given "port" | ternary $given.port 8765) -}}
{{- $name := include "autoresearch.mcp.name" . -}}
{{- $hosts := list -}}
{{- range list "" (printf ".%s" .Release.Namespace) (printf ".%s.svc" .Release.Namespace) (printf ".%s.svc.cluster.local" .Release.Namespace) -}}
{{- $hosts = append $hosts (printf "%s%s:%d" $name . $port) -}}
{{- end -}}
{{- toYaml (dict "host" (default "0.0.0.0" $given.host) "port" $port "hosts" (concat $hosts ($given.hosts | default list))) -}}
{{- end -}}

{{- define "autoresearch.mcp.name" -}}
{{- printf "%s-mcp" (include "autoresearch.fullname" .) -}}
{{- end -}}

{{- define "autoresearch.mcp.secret" -}}
{{- default (include "autoresearch.mcp.name" .) .Values.mcp.existingSecret -}}
{{- end -}}

{{- define "autoresearch.mcp.check" -}}
{{- $campaign := include "autoresearch.campaign" . | fromYaml -}}
{{- $mcp := $campaign.agent.mcp -}}
{{- if not (int $mcp.port) -}}
{{- fail "campaign.agent.mcp.port is 0, which is another port at each start: the Service needs one that stays; leave it out" -}}
{{- end -}}
{{- if eq (int $mcp.port) (int $campaign.server.port) -}}
{{- fail (printf "campaign.agent.mcp.port is %d, where page and metrics are served: take another, or leave it out" (int $mcp.port)) -}}
{{- end -}}
{{- if not (has $mcp.host (list "0.0.0.0" "::")) -}}
{{- fail (printf "campaign.agent.mcp.host is %s, which the Service does not reach: leave it out" $mcp.host) -}}
{{- end -}}
{{- end -}}

{{- define "autoresearch.mcp.warning" -}}
{{- $campaign := include "autoresearch.campaign" . | fromYaml -}}
{{- if and (eq $campaign.agent.kind "mcp") .Values.mcp.existingSecret -}}
{{- with .Values.mcp -}}
{{- $secret := lookup "v1" "Secret" $.Release.Namespace .existingSecret -}}
{{- if not $secret -}}
there is no Secret {{ .existingSecret }} in namespace {{ $.Release.Namespace }}: the controller waits for it. kubectl -n {{ $.Release.Namespace }} create secret generic {{ .existingSecret }} --from-literal={{ .secretKey }}=$(openssl rand -hex 32)
{{- else if not (hasKey ($secret.data | default dict) .secretKey) -}}
Secret {{ .existingSecret }} has no key {{ .secretKey }}: set mcp.secretKey to one of {{ $secret.data | default dict | keys | sortAlpha | join ", " }}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
