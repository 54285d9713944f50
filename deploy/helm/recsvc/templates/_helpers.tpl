{{- define "recsvc.labels" -}}
app.kubernetes.io/name: recsvc
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end }}

{{/* The labels by which the pods of a component are found: of the root and its name. */}}
{{- define "recsvc.of" -}}
app.kubernetes.io/name: recsvc
app.kubernetes.io/instance: {{ (first .).Release.Name }}
app.kubernetes.io/component: {{ last . }}
{{- end }}

{{/* The restricted profile of Pod Security, for pods and for containers. */}}
{{- define "recsvc.pod" -}}
automountServiceAccountToken: false
# A service that is called recsvc would set RECSVC_PORT in each pod, to an address.
enableServiceLinks: false
securityContext:
  runAsNonRoot: true
  runAsUser: 10001
  runAsGroup: 10001
  fsGroup: 10001
  seccompProfile: {type: RuntimeDefault}
{{- with .Values.images.pullSecrets }}
imagePullSecrets:
{{- range . }}
  - name: {{ . }}
{{- end }}
{{- end }}
{{- end }}

{{- define "recsvc.container" -}}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities: {drop: ["ALL"]}
{{- end }}

{{/* Settings that service and refresh share. */}}
{{- define "recsvc.settings" -}}
- name: RECSVC_NEO4J_URI
  valueFrom: {secretKeyRef: {name: {{ .Values.secret }}, key: neo4j-uri}}
- name: RECSVC_NEO4J_PASSWORD
  valueFrom: {secretKeyRef: {name: {{ .Values.secret }}, key: neo4j-password}}
{{- range $name, $value := .Values.settings }}
- name: RECSVC_{{ upper $name }}
  value: {{ quote $value }}
{{- end }}
{{- end }}
