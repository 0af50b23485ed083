{{/* The name of every object; a release that is called like the chart gives its own. */}}
{{- define "openbao.fullname" -}}
{{- if .Values.fullnameOverride }}{{ .Values.fullnameOverride }}
{{- else if contains .Chart.Name .Release.Name }}{{ .Release.Name }}
{{- else }}{{ .Release.Name }}-{{ .Chart.Name }}{{ end }}
{{- end }}

{{/* What the Services and the StatefulSet select the servers by. */}}
{{- define "openbao.selector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
component: server
{{- end }}

{{- define "openbao.labels" -}}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end }}

{{- define "openbao.account" -}}
{{ .Values.server.serviceAccount.name | default (include "openbao.fullname" .) }}
{{- end }}

{{- define "openbao.scheme" -}}
{{ ternary "http" "https" .Values.global.tlsDisable }}
{{- end }}

{{- define "openbao.raft" -}}
{{ if and .Values.server.ha.enabled .Values.server.ha.raft.enabled }}true{{ end }}
{{- end }}

{{/* As upstream: a number that is not one, such as "1", counts as three. */}}
{{- define "openbao.replicas" -}}
{{- $replicas := .Values.server.ha.replicas }}
{{- if not .Values.server.ha.enabled }}1
{{- else if kindIs "string" $replicas }}3
{{- else }}{{ int $replicas }}{{ end }}
{{- end }}

{{/* A claim of the StatefulSet; takes its name and its values. */}}
{{- define "openbao.claim" -}}
- metadata:
    name: {{ .name }}
  spec:
    accessModes: [{{ .storage.accessMode }}]
    {{- with .storage.storageClass }}
    storageClassName: {{ . }}
    {{- end }}
    resources:
      requests:
        storage: {{ .storage.size }}
{{- end }}

{{/* One Service for the servers; takes the root, a suffix, and what to add to the selector and to the spec. */}}
{{- define "openbao.service" -}}
apiVersion: v1
kind: Service
metadata:
  name: {{ include "openbao.fullname" .root }}{{ .suffix }}
  labels:
    {{- include "openbao.labels" .root | nindent 4 }}
  {{- with .annotations }}
  annotations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
spec:
  {{- with .spec }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
  ports:
    - name: {{ include "openbao.scheme" .root }}
      port: {{ .root.Values.server.service.port }}
      targetPort: {{ .root.Values.server.service.targetPort }}
    - name: https-internal
      port: 8201
      targetPort: 8201
  selector:
    {{- include "openbao.selector" .root | nindent 4 }}
    {{- with .selector }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
{{- end }}
