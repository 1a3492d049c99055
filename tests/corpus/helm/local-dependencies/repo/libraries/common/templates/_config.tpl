{{- define "common.config" -}}
apiVersion: v1
kind: ConfigMap
metadata: {name: {{ .Release.Name }}-{{ .Chart.Name }}}
data: {{- toYaml .Values.settings | nindent 2 }}
{{- end }}
