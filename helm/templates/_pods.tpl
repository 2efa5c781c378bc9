{{- /*
Parts of pods that several templates use.

  autoresearch.podSecurity              security context of a pod: an unprivileged user, as Pod Security `restricted` asks
  autoresearch.containerSecurity        security context of a container: no capabilities, a read-only root file system
  autoresearch.controller.environment   environment variables of the controller's containers
  autoresearch.controller.mounts        volume mounts of the controller's containers
  autoresearch.apiPod                   a pod's spec that runs a script of the chart with access to the API server
  autoresearch.scriptCommand            the command that hands a script of the chart to Python
  autoresearch.cleanupHook              annotations of the objects that clean up after `helm uninstall`
*/ -}}

{{- define "autoresearch.podSecurity" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
fsGroup: 65532
fsGroupChangePolicy: OnRootMismatch
seccompProfile:
  type: RuntimeDefault
{{- end -}}

{{- define "autoresearch.containerSecurity" -}}
allowPrivilegeEscalation: false
capabilities:
  drop: [ALL]
readOnlyRootFilesystem: true
runAsNonRoot: true
{{- end -}}

{{- define "autoresearch.controller.environment" -}}
- name: HOME
  value: /tmp
- name: PYTHONUNBUFFERED
  value: "1"
# `kubectl exec deploy/... -- autoresearch log` finds the campaign by it.
- name: AUTORESEARCH_CAMPAIGN
  value: /var/lib/autoresearch
{{- with .Values.controller.extraEnv }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "autoresearch.controller.mounts" -}}
- name: lab
  mountPath: /var/lib/autoresearch
# The settings come from the release: they are mounted over the file in the campaign's folder.
- name: campaign
  mountPath: /var/lib/autoresearch/campaign.yaml
  subPath: campaign.yaml
  readOnly: true
{{- if .Values.brief }}
- name: campaign
  mountPath: /etc/autoresearch
  readOnly: true
{{- end }}
- name: tmp
  mountPath: /tmp
{{- with .Values.controller.extraVolumeMounts }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- /*
The fields of a pod's spec that runs a script of the chart in the controller's image and asks the API server.
Takes dict root, container, script, account, asked (the script's JSON argument).
*/ -}}
{{- define "autoresearch.apiPod" -}}
serviceAccountName: {{ .account }}
automountServiceAccountToken: true
enableServiceLinks: false
terminationGracePeriodSeconds: 5
{{- with .root.Values.imagePullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
{{- with .root.Values.controller.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .root.Values.controller.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .root.Values.controller.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
securityContext:
  {{- include "autoresearch.podSecurity" .root | nindent 2 }}
containers:
  - name: {{ .container }}
    image: {{ include "autoresearch.controller.image" .root }}
    imagePullPolicy: {{ .root.Values.image.pullPolicy }}
    command: {{ include "autoresearch.scriptCommand" . | nindent 6 }}
    resources:
      requests: {cpu: 100m, memory: 64Mi}
      limits: {memory: 256Mi}
    securityContext:
      {{- include "autoresearch.containerSecurity" .root | nindent 6 }}
{{- end -}}

{{- /* Kubernetes replaces `$(NAME)` in a command by a variable, and `$$(` by a plain `$(`: so the script escapes it. */ -}}
{{- define "autoresearch.scriptCommand" -}}
- python
- -c
- |
  {{- .root.Files.Get (printf "scripts/%s.py" .script) | replace "$(" "$$(" | nindent 2 }}
- {{ .asked | toJson | quote }}
{{- end -}}

{{- define "autoresearch.cleanupHook" -}}
helm.sh/hook: post-delete
helm.sh/hook-weight: {{ . | quote }}
helm.sh/hook-delete-policy: before-hook-creation,hook-succeeded,hook-failed
helm.sh/hook-output-log-policy: hook-failed
{{- end -}}
