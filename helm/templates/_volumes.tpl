{{- /*
  autoresearch.claimSpec   spec of a volume claim (dict accessModes, storageClass, size)

The storage class "-" asks for a volume without a class, as for one that an administrator has created.
*/ -}}
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
