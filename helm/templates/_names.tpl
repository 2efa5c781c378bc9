{{- /* Every name in the chart comes from here. */ -}}

{{- define "autoresearch.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 40 | trimSuffix "-" -}}
{{- end -}}

{{- define "autoresearch.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" -}}
{{- else if contains (include "autoresearch.name" .) .Release.Name -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name (include "autoresearch.name" .) | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- /* Cluster-scoped names carry the namespace: releases of one name may live in several. */ -}}
{{- define "autoresearch.clusterName" -}}
{{- $name := printf "%s-%s" .Release.Namespace (include "autoresearch.fullname" .) -}}
{{- if gt (len $name) 58 -}}
{{- $name = printf "%s-%s" (trunc 48 $name | trimSuffix "-") (sha256sum $name | trunc 8) -}}
{{- end -}}
{{- $name -}}
{{- end -}}

{{- define "autoresearch.selectorLabels" -}}
app.kubernetes.io/name: {{ include "autoresearch.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "autoresearch.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{ include "autoresearch.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
app.kubernetes.io/part-of: autoresearch
{{- end -}}

{{- define "autoresearch.controller.serviceAccount" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "autoresearch.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- required "serviceAccount.name must be given where serviceAccount.create is false" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{- define "autoresearch.lab.claim" -}}
{{- default (printf "%s-lab" (include "autoresearch.fullname" .)) .Values.lab.existingClaim -}}
{{- end -}}

{{- define "autoresearch.image" -}}
{{- $tag := default .root.Chart.AppVersion .image.tag -}}
{{- if .image.digest -}}
{{- printf "%s@%s" .image.repository .image.digest -}}
{{- else -}}
{{- printf "%s:%s" .image.repository $tag -}}
{{- end -}}
{{- end -}}

{{- define "autoresearch.controller.image" -}}
{{- include "autoresearch.image" (dict "root" . "image" .Values.image) -}}
{{- end -}}
