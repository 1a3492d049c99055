{{/* The first part of all names: the release's, with the chart's where that is not in it. */}}
{{- define "mooring.fullname" -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 52 | trimSuffix "-" -}}
{{- else if contains $name .Release.Name -}}
{{- .Release.Name | trunc 52 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 52 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{/* By these the pods of one component are found: (dict "root" $ "component" "web"). */}}
{{- define "mooring.selector" -}}
app.kubernetes.io/name: {{ default .root.Chart.Name .root.Values.nameOverride }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end -}}

{{- define "mooring.labels" -}}
{{ include "mooring.selector" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/part-of: mooring
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" }}
{{- end -}}

{{/* Metadata of an object: (dict "root" $ "component" "web" "suffix" "-web"). */}}
{{- define "mooring.metadata" -}}
name: {{ include "mooring.fullname" .root }}{{ .suffix }}
namespace: {{ .root.Release.Namespace }}
labels:
  {{- include "mooring.labels" . | nindent 2 }}
{{- end -}}

{{/* (dict "root" $ "image" .Values.image) */}}
{{- define "mooring.image" -}}
{{- $i := .image -}}
{{- $name := ternary (printf "%s/%s" $i.registry $i.repository) $i.repository (ne $i.registry "") -}}
{{- if $i.digest -}}
{{- printf "%s@%s" $name $i.digest -}}
{{- else -}}
{{- printf "%s:%s" $name (default .root.Chart.AppVersion $i.tag) -}}
{{- end -}}
{{- end -}}

{{- define "mooring.account" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "mooring.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- required "serviceAccount.name is needed where serviceAccount.create is false" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{- define "mooring.redisSecret" -}}
{{- default (printf "%s-redis" (include "mooring.fullname" .)) .Values.redis.existingSecret -}}
{{- end -}}

{{- define "mooring.flowerSecret" -}}
{{- default (printf "%s-flower" (include "mooring.fullname" .)) .Values.flower.existingSecret -}}
{{- end -}}

{{/*
Fails unless a password may be made here: only the cluster remembers it until the next render.
Every namespace has the ConfigMap, and `helm template` sees none. (dict "root" $ "value" "redis.existingSecret" "how" "…")
*/}}
{{- define "mooring.mayGenerate" -}}
{{- if not (lookup "v1" "ConfigMap" .root.Release.Namespace "kube-root-ca.crt") -}}
{{- fail (printf "%s is needed: this is rendered without its cluster (helm template, GitOps), or namespace %s does not exist yet, and a password made now would be another one at each render. Create the Secret, and name it: %s" .value .root.Release.Namespace .how) -}}
{{- end -}}
{{- end -}}

{{/* The start of a pod's spec: (dict "root" $ "values" .Values.web "account" "…" "token" false). */}}
{{- define "mooring.pod" -}}
serviceAccountName: {{ .account }}
automountServiceAccountToken: {{ .token }}
enableServiceLinks: false
{{- with .root.Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
securityContext:
  {{- toYaml .root.Values.podSecurityContext | nindent 2 }}
{{- with .values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with .values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .values.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .values.topologySpreadConstraints }}
topologySpreadConstraints:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/*
Metadata of the pods, without versions: a new chart restarts only what it changes.
(dict "root" $ "component" "web" "values" .Values.web "annotations" dict)
*/}}
{{- define "mooring.podMetadata" -}}
labels:
  {{- include "mooring.selector" . | nindent 2 }}
  {{- with .values.podLabels }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- with merge (dict) .values.podAnnotations (default (dict) .annotations) }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* What containers of Mooring's have alike: (dict "root" $ "image" .Values.image "values" .Values.web). */}}
{{- define "mooring.container" -}}
image: {{ include "mooring.image" . }}
imagePullPolicy: {{ .image.pullPolicy }}
securityContext:
  {{- toYaml .root.Values.securityContext | nindent 2 }}
resources:
  {{- toYaml .values.resources | nindent 2 }}
{{- end -}}

{{/* Variables of docs/settings.md, in order. */}}
{{- define "mooring.settings" -}}
{{- range $name, $value := . }}
- {name: {{ $name }}, value: {{ $value | quote }}}
{{- end }}
{{- end -}}

{{/* One URL of Redis, as a file: (dict "root" $ "key" "web-url"). */}}
{{- define "mooring.redisVolume" -}}
- name: redis
  secret:
    secretName: {{ include "mooring.redisSecret" .root }}
    items: [{key: {{ .key }}, path: url}]
{{- end -}}

{{- define "mooring.alive" -}}
startupProbe:
  httpGet: {path: /healthz, port: metrics}
  periodSeconds: 5
  failureThreshold: 24
livenessProbe:
  httpGet: {path: /healthz, port: metrics}
  periodSeconds: 15
  timeoutSeconds: 5
  failureThreshold: 4
readinessProbe:
  httpGet: {path: /healthz, port: metrics}
  periodSeconds: 10
  timeoutSeconds: 5
{{- end -}}

{{/* Rules of network policies: out to Redis and DNS alone; in from who reads metrics. */}}
{{- define "mooring.toRedis" -}}
- ports:
    - {protocol: TCP, port: {{ ternary 6379 .Values.redis.external.port .Values.redis.enabled }}}
  {{- if .Values.redis.enabled }}
  to:
    - podSelector:
        matchLabels:
          {{- include "mooring.selector" (dict "root" $ "component" "redis") | nindent 10 }}
  {{- else if .Values.redis.external.peers }}
  to:
    {{- toYaml .Values.redis.external.peers | nindent 4 }}
  {{- end }}
- ports:
    - {protocol: UDP, port: 53}
    - {protocol: TCP, port: 53}
  to:
    {{- toYaml .Values.networkPolicy.dnsPeers | nindent 4 }}
{{- end }}

{{- define "mooring.fromMetrics" -}}
{{- with .Values.networkPolicy.metricsPeers }}
- ports:
    - {protocol: TCP, port: 9090}
  from:
    {{- toYaml . | nindent 4 }}
{{- end }}
{{- end }}
