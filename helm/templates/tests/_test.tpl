{{- /*
Parts of the tests that `helm test` runs.

  autoresearch.testHook   annotations of a test
  autoresearch.apiTest    a test that asks the API server (dict root, name, account, weight, asked)

Helm prints the output of a test and then deletes its pod, also if it failed. The output-log policy is needed because
`helm test --logs` looks in the release's namespace only, and some tests run in the namespace of attempts.
*/ -}}
{{- define "autoresearch.testHook" -}}
helm.sh/hook: test
helm.sh/hook-weight: {{ . | quote }}
helm.sh/hook-delete-policy: before-hook-creation,hook-succeeded,hook-failed
helm.sh/hook-output-log-policy: hook-succeeded,hook-failed
{{- end -}}

{{- define "autoresearch.apiTest" -}}
apiVersion: v1
kind: Pod
metadata:
  name: {{ include "autoresearch.fullname" .root }}-test-{{ .name }}
  namespace: {{ .root.Release.Namespace }}
  labels:
    {{- include "autoresearch.labels" .root | nindent 4 }}
    # The controller's NetworkPolicy holds for it, so this also shows that the API server can be reached.
    app.kubernetes.io/component: test
  annotations:
    {{- include "autoresearch.testHook" .weight | nindent 4 }}
spec:
  restartPolicy: Never
  activeDeadlineSeconds: 300
  {{- include "autoresearch.apiPod" (dict
    "root" .root "container" .name "script" .name "account" .account "asked" .asked) | nindent 2 }}
{{- end -}}
