{{- define "face.name" -}}
{{- if contains .Chart.Name .Release.Name -}}
{{- .Release.Name | trunc 50 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name .Chart.Name | trunc 50 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{/* What pods of a part are found by: (list $ "pipeline"). */}}
{{- define "face.selector" -}}
{{- $root := index . 0 -}}
app.kubernetes.io/name: {{ $root.Chart.Name }}
app.kubernetes.io/instance: {{ $root.Release.Name }}
app.kubernetes.io/component: {{ index . 1 }}
{{- end -}}

{{- define "face.labels" -}}
{{- $root := index . 0 -}}
{{ include "face.selector" . }}
app.kubernetes.io/version: {{ $root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ $root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" $root.Chart.Name $root.Chart.Version }}
{{- end -}}

{{- define "face.image" -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end -}}

{{- define "face.secret" -}}
{{- if .Values.secrets.existing -}}
{{ .Values.secrets.existing }}
{{- else if .Values.secrets.values -}}
{{ include "face.name" . }}
{{- end -}}
{{- end -}}

{{/* config.yml: the container's, what `config` changes, and what follows from the rest. */}}
{{- define "face.config" -}}
{{- $config := mergeOverwrite (.Files.Get "config.yml" | fromYaml) (deepCopy .Values.config) -}}
{{- $_ := set $config.gateway "pipelines" (list (printf "%s-pipeline:%v" (include "face.name" .) $config.rpc_port)) -}}
{{- if .Values.pipeline.gpu.count -}}
{{- range $name, $op := $config.op -}}
{{- if hasKey $op "devices" -}}
{{- $_ := set $op "devices" (untilStep 0 (int $.Values.pipeline.gpu.count) 1 | join ",") -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- if and (gt (int .Values.gateway.replicas) 1) (hasPrefix "sqlite" $config.library.database) -}}
{{- fail "gateway.replicas: several gateways need a database server: set config.library.database" -}}
{{- end -}}
{{- toYaml $config -}}
{{- end -}}

{{- define "face.podSecurity" -}}
runAsNonRoot: true
runAsUser: 10001
runAsGroup: 10001
fsGroup: 10001
fsGroupChangePolicy: OnRootMismatch
seccompProfile:
  type: RuntimeDefault
{{- end -}}

{{- define "face.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end -}}

{{/* Mounts and volumes that both parts have. */}}
{{- define "face.mounts" -}}
- name: settings
  mountPath: /etc/face-serving
  readOnly: true
- name: logs
  mountPath: /var/log/face-serving
- name: tmp
  mountPath: /tmp
{{- if include "face.secret" . }}
- name: secrets
  mountPath: /run/secrets/face
  readOnly: true
{{- end }}
{{- if .Values.models.existingClaim }}
- name: models
  mountPath: /opt/face-serving/models
  readOnly: true
{{- end }}
{{- end -}}

{{- define "face.volumes" -}}
- name: settings
  configMap:
    name: {{ include "face.name" . }}
- name: logs
  emptyDir:
    sizeLimit: 1Gi
- name: tmp
  emptyDir:
    sizeLimit: 256Mi
{{- with include "face.secret" . }}
- name: secrets
  secret:
    secretName: {{ . }}
    defaultMode: 0440
{{- end }}
{{- if .Values.models.existingClaim }}
- name: models
  persistentVolumeClaim:
    claimName: {{ .Values.models.existingClaim }}
    readOnly: true
{{- end }}
{{- end -}}

{{/* Where pods of a part may run: its section of the values. */}}
{{- define "face.placing" -}}
{{- range $key := list "nodeSelector" "tolerations" "affinity" }}
{{- with index $ $key }}
{{ $key }}:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}
{{- end -}}
