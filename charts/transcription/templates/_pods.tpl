{{/* What the pods of the API and the controller have in common. */}}

{{/* Who the pod is and where it runs, but for its containers and volumes. */}}
{{- define "transcription.pod" -}}
{{- $own := index .root.Values .component -}}
serviceAccountName: {{ include "transcription.account" . }}
# The token is mounted as a volume below, into the one container that uses it.
automountServiceAccountToken: false
enableServiceLinks: false
terminationGracePeriodSeconds: 30
imagePullSecrets: {{ include "transcription.pullSecrets" .root }}
securityContext: {runAsNonRoot: true, runAsUser: 65532, runAsGroup: 65532, fsGroup: 65532, seccompProfile: {type: RuntimeDefault}}
{{- with $own.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with $own.nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $own.tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
affinity:
  {{- if $own.affinity }}
  {{- toYaml $own.affinity | nindent 2 }}
  {{- else }}
  podAntiAffinity:
    preferredDuringSchedulingIgnoredDuringExecution:
      - weight: 100
        podAffinityTerm:
          topologyKey: kubernetes.io/hostname
          labelSelector:
            matchLabels: {{- include "transcription.selector" . | nindent 14 }}
  {{- end }}
topologySpreadConstraints:
  {{- $selector := dict "labelSelector" (dict "matchLabels" (include "transcription.selector" . | fromYaml)) }}
  {{- range $own.topologySpreadConstraints }}
  {{- /* One without a selector would count no pods. */}}
  {{- list (hasKey . "labelSelector" | ternary . (merge (dict) . $selector)) | toYaml | nindent 2 }}
  {{- else }}
  - maxSkew: 1
    topologyKey: topology.kubernetes.io/zone
    whenUnsatisfiable: ScheduleAnyway
    matchLabelKeys: [pod-template-hash]
    {{- toYaml $selector | nindent 4 }}
  {{- end }}
{{- end }}

{{/* Labels and annotations of the pod. */}}
{{- define "transcription.podMetadata" -}}
{{- $own := index .root.Values .component -}}
labels: {{- mergeOverwrite (dict) $own.podLabels (include "transcription.labels" . | fromYaml) | toYaml | nindent 2 }}
{{- with $own.podAnnotations }}
annotations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{/* The CA bundle for S3: its volume, mount and variable, as lists that are empty without one. boto3 looks at the variable. */}}
{{- define "transcription.trust" -}}
{{- $ca := .Values.s3.caBundle -}}
{{- if and $ca.configMap $ca.secret }}{{ fail "s3.caBundle is a configMap or a secret, not both" }}{{ end -}}
{{- $items := list (dict "key" $ca.key "path" "ca.crt") -}}
{{- if or $ca.configMap $ca.secret -}}
volumes:
  - name: trust
    {{- if $ca.configMap }}
    configMap: {{ dict "name" $ca.configMap "items" $items | toJson }}
    {{- else }}
    secret: {{ dict "secretName" $ca.secret "items" $items | toJson }}
    {{- end }}
volumeMounts: [{name: trust, mountPath: /etc/transcription-trust, readOnly: true}]
env: [{name: AWS_CA_BUNDLE, value: /etc/transcription-trust/ca.crt}]
{{- else -}}
{volumes: [], volumeMounts: [], env: []}
{{- end -}}
{{- end }}

{{/* The volume that workers read models from and its mount, as lists that are empty when their image has the models. */}}
{{- define "transcription.models" -}}
{{- $source := .Values.worker.modelSource -}}
{{- $given := compact (list $source.volumeClaim $source.image $source.hostPath) -}}
{{- if gt (len $given) 1 }}{{ fail "worker.modelSource is one of volumeClaim, image and hostPath" }}{{ end -}}
{{- if $given -}}
volumes:
  - name: models
    {{- if $source.volumeClaim }}
    persistentVolumeClaim: {claimName: {{ $source.volumeClaim }}, readOnly: true}
    {{- else if $source.image }}
    image: {reference: {{ $source.image | quote }}, pullPolicy: {{ .Values.worker.image.pullPolicy }}}
    {{- else }}
    hostPath: {path: {{ $source.hostPath | quote }}, type: Directory}
    {{- end }}
volumeMounts: [{name: models, mountPath: /models, readOnly: true}]
{{- else -}}
{volumes: [], volumeMounts: []}
{{- end -}}
{{- end }}

{{- define "transcription.containerSecurity" -}}
{allowPrivilegeEscalation: false, readOnlyRootFilesystem: true, capabilities: {drop: [ALL]}}
{{- end }}

{{- define "transcription.volumeMounts" -}}
- {name: tmp, mountPath: /tmp}
- {name: token, mountPath: /var/run/secrets/kubernetes.io/serviceaccount, readOnly: true}
{{- with concat (include "transcription.trust" .root | fromYaml).volumeMounts (index .root.Values .component).extraVolumeMounts }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* What Kubernetes would mount by itself, which a pod without automount asks for. The kubelet renews the token. */}}
{{- define "transcription.volumes" -}}
- name: token
  projected:
    sources:
      - serviceAccountToken: {path: token, expirationSeconds: 3607}
      - configMap: {name: kube-root-ca.crt, items: [{key: ca.crt, path: ca.crt}]}
      - downwardAPI: {items: [{path: namespace, fieldRef: {fieldPath: metadata.namespace}}]}
{{- with concat (include "transcription.trust" .root | fromYaml).volumes (index .root.Values .component).extraVolumes }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "transcription.serviceAccount" -}}
{{- $account := (index .root.Values .component).serviceAccount -}}
{{- if $account.create }}
apiVersion: v1
kind: ServiceAccount
metadata:
  name: {{ include "transcription.account" . }}
  namespace: {{ .root.Release.Namespace }}
  labels: {{- include "transcription.labels" . | nindent 4 }}
  {{- with $account.annotations }}
  annotations: {{- toYaml . | nindent 4 }}
  {{- end }}
automountServiceAccountToken: false
{{- end }}
{{- end }}
