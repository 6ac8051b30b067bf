{{/* Names, labels and environment that more than one template uses. */}}

{{- define "transcription.selector" -}}
app.kubernetes.io/name: {{ .root.Chart.Name }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end }}

{{- define "transcription.labels" -}}
{{ include "transcription.selector" . }}
app.kubernetes.io/part-of: {{ .root.Chart.Name }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" }}
{{- with .root.Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* Worker pods are the controller's, which says itself what they are and who manages them. */}}
{{- define "transcription.workerLabels" -}}
{{- $labels := include "transcription.labels" (dict "root" . "component" "worker") | fromYaml -}}
{{- mergeOverwrite (dict) .Values.worker.podLabels (omit $labels "app.kubernetes.io/name" "app.kubernetes.io/managed-by") | toYaml }}
{{- end }}

{{/* The name of a part's ServiceAccount, made here or not. */}}
{{- define "transcription.account" -}}
{{ (index .root.Values .component).serviceAccount.name | default (printf "%s-%s" .root.Release.Name .component) }}
{{- end }}

{{- define "transcription.metadata" -}}
name: {{ .root.Release.Name }}-{{ .component }}
namespace: {{ .root.Release.Namespace }}
labels: {{- include "transcription.labels" . | nindent 2 }}
{{- end }}

{{- define "transcription.image" -}}
{{- $image := (index .root.Values .component).image -}}
{{- $registry := $image.registry | default .root.Values.global.imageRegistry -}}
{{- $name := ternary (printf "%s/%s" $registry $image.repository) $image.repository (ne $registry "") -}}
{{- if $image.digest -}}
{{ $name }}@{{ $image.digest }}
{{- else -}}
{{ $name }}:{{ $image.tag | default .root.Chart.AppVersion }}
{{- end -}}
{{- end }}

{{/* Where S3 is and how its buckets are named: as the values say, or the server for trials. */}}
{{- define "transcription.s3" -}}
{{- if .Values.trialS3.enabled -}}
{endpoint: {{ .Values.s3.endpoint | default (printf "http://%s-s3.%s.svc:9000" .Release.Name .Release.Namespace) | quote }}, pathStyle: true}
{{- else -}}
{endpoint: {{ .Values.s3.endpoint | quote }}, pathStyle: {{ .Values.s3.pathStyle }}}
{{- end -}}
{{- end }}

{{- define "transcription.s3Secret" -}}
{{- $trial := ternary .root.Values.trialS3.secret "" .root.Values.trialS3.enabled -}}
{{- (index .root.Values .component).s3Secret | default $trial -}}
{{- end }}

{{- define "transcription.pullSecrets" -}}
{{- $secrets := list -}}
{{- range .Values.image.pullSecrets }}{{ $secrets = append $secrets (dict "name" .) }}{{ end -}}
{{ toJson $secrets }}
{{- end }}

{{/* What the API and the controller are told alike; the prefix keeps their settings apart. */}}
{{- define "transcription.env" -}}
{{- $values := .root.Values -}}
{{- $s3 := include "transcription.s3" .root | fromYaml -}}
- {name: {{ .prefix }}_NAMESPACE, value: {{ .root.Release.Namespace | quote }}}
- {name: {{ .prefix }}_LOG_LEVEL, value: {{ $values.logLevel | quote }}}
- {name: {{ .prefix }}_S3_BUCKET, value: {{ $values.s3.bucket | quote }}}
- {name: {{ .prefix }}_S3_REGION, value: {{ $values.s3.region | quote }}}
- {name: {{ .prefix }}_S3_PATH_STYLE, value: {{ $s3.pathStyle | quote }}}
{{- with $s3.endpoint }}
- {name: {{ $.prefix }}_S3_ENDPOINT, value: {{ . | quote }}}
{{- end }}
{{- with $values.callback.signingSecret }}
- {name: {{ $.prefix }}_CALLBACK_SECRET, valueFrom: {secretKeyRef: {name: {{ . | quote }}, key: secret}}}
- {name: {{ $.prefix }}_CALLBACK_PREVIOUS_SECRET, valueFrom: {secretKeyRef: {name: {{ . | quote }}, key: previousSecret, optional: true}}}
{{- end }}
{{- with $values.callback.allowedHosts }}
- {name: {{ $.prefix }}_CALLBACK_ALLOWED_HOSTS, value: {{ join "," . | quote }}}
{{- end }}
{{- with include "transcription.s3Secret" . }}
- {name: AWS_ACCESS_KEY_ID, valueFrom: {secretKeyRef: {name: {{ . | quote }}, key: AWS_ACCESS_KEY_ID}}}
- {name: AWS_SECRET_ACCESS_KEY, valueFrom: {secretKeyRef: {name: {{ . | quote }}, key: AWS_SECRET_ACCESS_KEY}}}
{{- end }}
{{- end }}

{{/* The PriorityClass of one level, or nothing. Cluster-scoped, so named as the admission policy is; a resource takes 63 characters. */}}
{{- define "transcription.priorityClass" -}}
{{- if .root.Values.priorityClasses.create -}}
{{- $name := printf "%s.%s.%s" .root.Release.Namespace .root.Release.Name .level -}}
{{- gt (len $name) 63 | ternary (printf "%s-%s" (trunc 8 (sha256sum $name)) .level) $name -}}
{{- else -}}
{{- (index .root.Values.priorityClasses .level).name -}}
{{- end -}}
{{- end }}

{{/* What the modes of api.auth need beside; settings of the API say the same, but only once it runs. */}}
{{- define "transcription.checkAuth" -}}
{{- $auth := .Values.api.auth -}}
{{- $given := dict "callback.signingSecret" .Values.callback.signingSecret -}}
{{- if eq $auth.mode "api-key" -}}
{{- $_ := set $given "api.auth.keysSecret" $auth.keysSecret -}}
{{- else if eq $auth.mode "oidc" -}}
{{- range $name, $value := pick $auth.oidc "issuer" "audience" "jwksUrl" -}}
{{- $_ := set $given (printf "api.auth.oidc.%s" $name) $value -}}
{{- end -}}
{{- end -}}
{{- range $name := keys $given | sortAlpha -}}
{{- if and (ne $auth.mode "none") (not (get $given $name)) -}}
{{- fail (printf "api.auth.mode=%s needs %s too" $auth.mode $name) -}}
{{- end -}}
{{- end -}}
{{- end }}
