{{- /*
Parts of network policies.

  autoresearch.egress        rule for connections to addresses and ports (dict cidrs, ports)
  autoresearch.egressToDns   rule for questions to DNS resolvers (dict to, ports)
  autoresearch.guarded       selects the pods that speak to the API server
  autoresearch.proposals     selects the pods of programs that propose

A rule for all addresses leaves out the metadata services of clouds, which give credentials to every pod that asks.
*/ -}}
{{- define "autoresearch.egress" -}}
- to:
    {{- range .cidrs }}
    - ipBlock:
        cidr: {{ . }}
        {{- if eq . "0.0.0.0/0" }}
        except: [169.254.0.0/16]
        {{- else if eq . "::/0" }}
        except: ["fd00:ec2::254/128"]
        {{- end }}
    {{- end }}
  ports:
    {{- range .ports }}
    - {protocol: TCP, port: {{ . }}}
    {{- end }}
{{- end -}}

{{- define "autoresearch.egressToDns" -}}
- to:
    {{- toYaml .to | nindent 4 }}
  ports:
    {{- range .ports }}
    - {protocol: UDP, port: {{ . }}}
    - {protocol: TCP, port: {{ . }}}
    {{- end }}
{{- end -}}

{{- define "autoresearch.guarded" -}}
matchLabels:
  {{- include "autoresearch.selectorLabels" . | nindent 2 }}
matchExpressions:
  - {key: app.kubernetes.io/component, operator: In, values: [controller, test]}
{{- end -}}

{{- /* The controller gives these labels to their Jobs, and no attempt can change its own: it has no token. */ -}}
{{- define "autoresearch.proposals" -}}
matchLabels:
  app.kubernetes.io/managed-by: autoresearch
  campaign: {{ .tag }}
matchExpressions:
  - {key: proposal, operator: Exists}
{{- end -}}
