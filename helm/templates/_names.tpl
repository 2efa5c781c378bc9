{{- /*
Names, labels and image references. Every template of the chart takes them from here.

  autoresearch.name                        the chart's name, or nameOverride
  autoresearch.fullname                    start of the names of all objects of the release, at most 40 characters
  autoresearch.shortened                   a name cut to a number of characters (dict name, most)
  autoresearch.clusterName                 name of the release's cluster-scoped objects
  autoresearch.runner.ownNamespace         namespace of attempts where the values give none
  autoresearch.selectorLabels              labels that select the release's pods; they never change
  autoresearch.labels                      labels of every object
  autoresearch.controller.serviceAccount   name of the controller's ServiceAccount
  autoresearch.lab.claim                   name of the lab's volume claim
  autoresearch.image                       reference of an image, by digest or tag (dict root, image)
  autoresearch.controller.image            reference of the controller's image
*/ -}}

{{- define "autoresearch.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 40 | trimSuffix "-" -}}
{{- end -}}

{{- define "autoresearch.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- include "autoresearch.shortened" (dict "name" .Values.fullnameOverride "most" 40) -}}
{{- else if contains (include "autoresearch.name" .) .Release.Name -}}
{{- include "autoresearch.shortened" (dict "name" .Release.Name "most" 40) -}}
{{- else -}}
{{- include "autoresearch.shortened" (dict "name" (printf "%s-%s" .Release.Name (include "autoresearch.name" .)) "most" 40) -}}
{{- end -}}
{{- end -}}

{{- /*
Cut a name to `most` characters. A long one ends in a hash of the whole name, so that two long names with the same
start stay different. Most names in Kubernetes hold at most 63 characters.
*/ -}}
{{- define "autoresearch.shortened" -}}
{{- if gt (len .name) (int .most) -}}
{{- printf "%s-%s" (trunc (sub (int .most) 9 | int) .name | trimAll "-.") (sha256sum .name | trunc 8) -}}
{{- else -}}
{{- .name | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- /*
Cluster-scoped names hold the release's namespace, because several namespaces may have a release of the same name.
A namespace's name has no dot, so different pairs of namespace and release never give the same name.
*/ -}}
{{- define "autoresearch.clusterName" -}}
{{- include "autoresearch.shortened" (dict "name" (printf "%s.%s" .Release.Namespace (include "autoresearch.fullname" .)) "most" 58) -}}
{{- end -}}

{{- /*
The namespace of attempts where the values give none: NAMESPACE-runs for a release that is called like the chart or
like its namespace, else NAMESPACE-RELEASE-runs. So a second release in the same namespace gets another one.
*/ -}}
{{- define "autoresearch.runner.ownNamespace" -}}
{{- $name := .Release.Namespace -}}
{{- if not (has .Release.Name (list .Chart.Name .Release.Namespace)) -}}
{{- $name = printf "%s-%s" .Release.Namespace .Release.Name -}}
{{- end -}}
{{- printf "%s-runs" (include "autoresearch.shortened" (dict "name" $name "most" 58)) -}}
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
