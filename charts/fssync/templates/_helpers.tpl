{{- define "fssync.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
{{- end }}

{{/* At most 45 characters: Kubernetes adds 18 to a pod's name, and objects of the chart a suffix. */}}
{{- define "fssync.fullname" -}}
{{- $name := default .Chart.Name .Values.nameOverride }}
{{- $full := contains $name .Release.Name | ternary .Release.Name (printf "%s-%s" .Release.Name $name) }}
{{- default $full .Values.fullnameOverride | trunc 45 | trimSuffix "-" }}
{{- end }}

{{/* What every pod of the release has. */}}
{{- define "fssync.instanceLabels" -}}
app.kubernetes.io/name: {{ include "fssync.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "fssync.selectorLabels" -}}
{{ include "fssync.instanceLabels" . }}
app.kubernetes.io/component: controller
{{- end }}

{{- define "fssync.commonLabels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end }}

{{- define "fssync.labels" -}}
{{ include "fssync.selectorLabels" . }}
{{ include "fssync.commonLabels" . }}
{{- end }}

{{- define "fssync.serviceAccountName" -}}
{{- $default := .Values.serviceAccount.create | ternary (include "fssync.fullname" .) "default" }}
{{- default $default .Values.serviceAccount.name }}
{{- end }}

{{- define "fssync.watchNamespace" -}}
{{- default .Release.Namespace .Values.watchNamespace }}
{{- end }}

{{/* Where the controller keeps its Lease: beside the ConfigRepos, so that two releases never work on the same ones. */}}
{{- define "fssync.leaseNamespace" -}}
{{- eq .Values.rbac.scope "cluster" | ternary .Release.Namespace (include "fssync.watchNamespace" .) }}
{{- end }}

{{/* A digest names one image for ever, so it wins over the tag. */}}
{{- define "fssync.image" -}}
{{- $version := printf ":%s" (default .Chart.AppVersion .Values.image.tag) }}
{{- if .Values.image.digest }}{{ $version = printf "@%s" .Values.image.digest }}{{ end }}
{{- .Values.image.repository }}{{ $version }}
{{- end }}

{{/* Not empty when callers of the API must say who they are; without that it listens on loopback alone. */}}
{{- define "fssync.hasApi" -}}
{{- if or .Values.api.kubernetesAuth .Values.api.tokensSecret }}true{{ end }}
{{- end }}

{{/*
Fails where values contradict each other; here and not in the schema, so that it can be said why. Without authentication
the API is on the pod's loopback address, where neither scripts nor probes reach it.
*/}}
{{- define "fssync.refuseContradictions" -}}
{{- if not (include "fssync.hasApi" .) }}
{{- $why := "api.kubernetesAuth is off and api.tokensSecret is empty: nobody can say who they are, so the API is on the pod's loopback address alone, where" }}
{{- if .Values.api.compat.enabled }}
{{- fail (printf "api.compat.enabled: %s no script reaches the predecessor's endpoints. Name a Secret in api.tokensSecret, or leave api.kubernetesAuth on; api.compat.anonymous too needs one of them, for the rest of the API" $why) }}
{{- end }}
{{- if not .Values.metrics.port }}
{{- fail (printf "metrics.port: %s no probe reaches it. Set metrics.port (9090, say), or one of the two" $why) }}
{{- end }}
{{- end }}
{{- end }}

{{/* Name of the port with metrics and health, and how it is spoken to. */}}
{{- define "fssync.metricsPort" -}}
{{- if .Values.metrics.port }}metrics{{ else }}http{{ end }}
{{- end }}
{{- define "fssync.metricsScheme" -}}
{{- if and .Values.api.tls.secretName (not .Values.metrics.port) }}HTTPS{{ else }}HTTP{{ end }}
{{- end }}

{{- define "fssync.podSecurityContext" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
fsGroup: 65532
fsGroupChangePolicy: OnRootMismatch
seccompProfile:
  type: RuntimeDefault
{{- end }}

{{- define "fssync.containerSecurityContext" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end }}

{{/* Not empty while the API server does not know our kinds: Helm cannot send ConfigRepos along with their CRD. */}}
{{- define "fssync.beforeCrds" -}}
{{- if and .Values.crds.install (not (.Capabilities.APIVersions.Has "fssync.dev/v1alpha1/ConfigRepo")) }}true{{ end }}
{{- end }}
