{{- /* What several pods share: the user they run as, and what the controller's containers see. */ -}}

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
# So that `kubectl exec deploy/... -- autoresearch log` needs no folder.
- name: AUTORESEARCH_CAMPAIGN
  value: /var/lib/autoresearch
{{- with .Values.controller.extraEnv }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "autoresearch.controller.mounts" -}}
- name: lab
  mountPath: /var/lib/autoresearch
# The campaign folder's own settings file: the release decides it anew at every start.
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
The rest of a pod that hands a script of the chart to Python in the controller's image, to ask the API server:
dict root, container, script, account, asked.
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

{{- /* In a container's command `$(` names a variable; `$$(` is what it looks like. */ -}}
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
