{{- define "autoresearch.claimSpec" -}}
spec:
  accessModes:
    {{- toYaml .accessModes | nindent 4 }}
  {{- if eq .storageClass "-" }}
  storageClassName: ""
  {{- else if .storageClass }}
  storageClassName: {{ .storageClass }}
  {{- end }}
  resources:
    requests:
      storage: {{ .size }}
{{- end -}}
