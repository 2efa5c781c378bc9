{{- /*
Egress rules to addresses and ports. "Everywhere" leaves out the clouds' metadata services, which hand out
credentials to whoever asks.
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

{{- /* The pods that speak to the API server. */ -}}
{{- define "autoresearch.guarded" -}}
matchLabels:
  {{- include "autoresearch.selectorLabels" . | nindent 2 }}
matchExpressions:
  - {key: app.kubernetes.io/component, operator: In, values: [controller, test]}
{{- end -}}
