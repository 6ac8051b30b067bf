{{/* What the NetworkPolicies have in common. */}}

{{/* The port of a URL. */}}
{{- define "transcription.urlPort" -}}
{{- $url := urlParse . -}}
{{- regexFind ":[0-9]+$" $url.host | trimPrefix ":" | default (ternary "80" "443" (eq $url.scheme "http")) -}}
{{- end }}

{{/* Anywhere but where a cloud tells its nodes their secrets. Pods are named too, which some networks do not count among addresses. */}}
{{- define "transcription.anywhere" -}}
{{- $four := list }}{{ $six := list -}}
{{- range .Values.networkPolicy.blockedAddresses -}}
{{- if contains ":" . }}{{ $six = append $six . }}{{ else }}{{ $four = append $four . }}{{ end -}}
{{- end -}}
- ipBlock: {cidr: 0.0.0.0/0, except: {{ toJson $four }}}
- ipBlock: {cidr: "::/0", except: {{ toJson $six }}}
- namespaceSelector: {}
{{- end }}

{{/* DNS, the API server, S3, the issuer of tokens, and for who sends callbacks (`sends`) their receivers. Ports are those after a Service. */}}
{{- define "transcription.egress" -}}
{{- $values := .root.Values -}}
{{- $urls := list (include "transcription.s3" .root | fromYaml).endpoint -}}
{{- $ports := list "443" -}}
{{- range $values.networkPolicy.apiServerPorts }}{{ $ports = append $ports (toString .) }}{{ end -}}
{{- if .sends }}{{ $urls = append $urls $values.callback.url }}{{ $ports = append $ports "80" -}}
{{- else }}{{ $urls = append $urls $values.api.auth.oidc.jwksUrl }}{{ end -}}
{{- range compact $urls }}{{ $ports = append $ports (include "transcription.urlPort" .) }}{{ end -}}
- ports: [{protocol: UDP, port: 53}, {protocol: TCP, port: 53}]
  to: {{- include "transcription.anywhere" .root | nindent 4 }}
- ports:
    {{- range uniq $ports }}
    - {protocol: TCP, port: {{ . }}}
    {{- end }}
  to: {{- include "transcription.anywhere" .root | nindent 4 }}
{{- if .sends }}
- ports: [{protocol: TCP, port: 8080}]
  to:
    - podSelector:
        matchLabels: {{- include "transcription.selector" (dict "root" .root "component" "api") | nindent 10 }}
{{- include "transcription.allowedHosts" .root }}
{{- end }}
{{- with $values.networkPolicy.extraEgress }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* callback.allowedHosts counts on any port. A policy knows addresses and pods, but no host names: one of those means any pod. */}}
{{- define "transcription.allowedHosts" -}}
{{- $peers := list }}{{ $named := false -}}
{{- range .Values.callback.allowedHosts -}}
{{- if regexMatch "^([0-9.]+|[0-9A-Fa-f.]*:[0-9A-Fa-f:.]*)(/[0-9]+)?$" . -}}
{{- $whole := ternary "128" "32" (contains ":" .) -}}
{{- $peers = append $peers (dict "ipBlock" (dict "cidr" (contains "/" . | ternary . (printf "%s/%s" . $whole)))) -}}
{{- else }}{{ $named = true }}{{ end -}}
{{- end -}}
{{- if $named }}{{ $peers = append $peers (dict "namespaceSelector" dict) }}{{ end -}}
{{- with $peers }}
- to: {{- toYaml . | nindent 4 }}
{{- end }}
{{- end }}
