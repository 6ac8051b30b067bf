{{/*
All alerts. They look at one namespace, because that is what a release has to itself, and add up or take the worst of all pods: two API pods see the
same transcriptions, and a controller that stands by sees none.
*/}}
{{- define "transcription.alerts" -}}
{{- $limits := .Values.monitoring.rules.thresholds -}}
{{- $here := printf "namespace=%q" .Release.Namespace -}}
{{- $slow := "/api/upload-video/(status|jobs/.job_id./events|transcripts|result).*|/v1/audio/transcriptions" -}}
{{- $probes := "/health|/ready|/metrics" -}}
- alert: TranscriptionsFailing
  severity: warning
  for: 10m
  summary: '{{ `{{ $value | humanizePercentage }}` }} of the transcriptions fail, and not because of their files.'
  expr: >-
    sum(rate(transcription_failures_total{ {{- $here }}, class!="permanent"}[30m]))
    / sum(rate(transcription_finished_total{ {{- $here }}}[30m])) > {{ $limits.failureRatio }}
- alert: TranscriptionsWaitLong
  severity: warning
  for: 5m
  summary: 'A transcription has waited {{ `{{ $value | humanizeDuration }}` }} for a running worker.'
  expr: max(transcription_longest_wait_seconds{ {{- $here }}}) > {{ int64 $limits.waitSeconds }}
- alert: TranscriptionsUnschedulable
  severity: warning
  for: {{ $limits.unschedulableFor }}
  summary: '{{ `{{ $value }}` }} transcriptions find no node that has what they ask for, often a free GPU.'
  expr: max(transcription_waiting{ {{- $here }}, reason="Unschedulable"}) > 0
- alert: TranscriptionsBlocked
  severity: critical
  for: 10m
  summary: '{{ `{{ $value }}` }} transcriptions cannot start before somebody helps: {{ `{{ $labels.reason }}` }}.'
  expr: max by (reason) (transcription_waiting{ {{- $here }}, reason=~"ImagePull|ContainerConfig|PodRefused"}) > 0
- alert: WorkersSilent
  severity: warning
  for: 1m
  summary: 'A running worker has given no sign of life for {{ `{{ $value | humanizeDuration }}` }}.'
  expr: max(transcription_longest_silence_seconds{ {{- $here }}}) > {{ int64 $limits.silenceSeconds }}
- alert: ControllerLeaderMissing
  severity: critical
  for: 2m
  summary: '{{ `{{ $value }}` }} controllers work where there must be one.'
  expr: (sum(transcription_leader{ {{- $here }}}) or vector(0)) != 1
- alert: ControllerIdle
  severity: critical
  for: {{ $limits.idleFor }}
  summary: 'The controller has looked at nothing, though transcriptions are unfinished.'
  expr: >-
    (sum(increase(transcription_reconcile_total{ {{- $here }}}[10m])) or vector(0)) == 0
    and max(transcription_live{ {{- $here }}}) > 0
- alert: ControllerSlow
  severity: warning
  for: 10m
  summary: 'Transcriptions wait {{ `{{ $value | humanizeDuration }}` }} for the controller to look at them.'
  expr: >-
    histogram_quantile(0.99, sum by (le) (rate(transcription_workqueue_wait_seconds_bucket{ {{- $here }}}[10m])))
    > {{ $limits.queueWaitSeconds }}
- alert: ControllerErrors
  severity: warning
  for: 15m
  summary: '{{ `{{ $value | humanizePercentage }}` }} of the reconciles fail.'
  expr: >-
    sum(rate(transcription_reconcile_total{ {{- $here }}, result!~"ok|StaleError"}[10m]))
    / sum(rate(transcription_reconcile_total{ {{- $here }}}[10m])) > {{ $limits.reconcileErrorRatio }}
- alert: WatchStalled
  severity: critical
  for: 5m
  summary: 'The watch of {{ `{{ $labels.kind }}` }} has been silent for {{ `{{ $value | humanizeDuration }}` }}.'
  expr: >-
    max by (kind) (transcription_watch_idle_seconds{ {{- $here }}}
    * on (pod) group_left () transcription_leader{ {{- $here }}}) > {{ int64 $limits.watchIdleSeconds }}
- alert: CallbacksFailing
  severity: warning
  for: 15m
  summary: 'Receivers do not take {{ `{{ $value | humanizePercentage }}` }} of the callbacks.'
  expr: >-
    sum(rate(transcription_callback_tries_total{ {{- $here }}, code!~"2.."}[30m]))
    / sum(rate(transcription_callback_tries_total{ {{- $here }}}[30m])) > {{ $limits.callbackFailureRatio }}
- alert: CallbackBacklog
  severity: warning
  for: 15m
  summary: '{{ `{{ $value }}` }} transcriptions have ended and are not settled: their callbacks wait.'
  expr: sum(transcription_jobs{ {{- $here }}, state=~"Succeeded|Failed|Cancelled"}) > {{ int64 $limits.callbackBacklog }}
- alert: ApiMissing
  severity: critical
  for: 5m
  summary: 'No pod of the API is seen.'
  expr: absent(transcription_api_open_requests{ {{- $here }}})
- alert: ApiErrors
  severity: critical
  for: 2m
  summary: '{{ `{{ $value | humanizePercentage }}` }} of the answers of the API are errors of its own.'
  expr: >-
    sum(rate(transcription_api_requests_total{ {{- $here }}, route!~"{{ $probes }}", status=~"5.."}[5m]))
    / sum(rate(transcription_api_requests_total{ {{- $here }}, route!~"{{ $probes }}"}[5m])) > {{ $limits.apiErrorRatio }}
    and sum(rate(transcription_api_requests_total{ {{- $here }}, route!~"{{ $probes }}", status=~"5.."}[1h]))
    / sum(rate(transcription_api_requests_total{ {{- $here }}, route!~"{{ $probes }}"}[1h])) > {{ $limits.apiErrorRatio }}
- alert: ApiSlow
  severity: warning
  for: 10m
  summary: '1 of 20 answers of the API begins after {{ `{{ $value | humanizeDuration }}` }} or later.'
  expr: >-
    histogram_quantile(0.95, sum by (le) (rate(transcription_api_request_seconds_bucket{ {{- $here }}, route!~"{{ $slow }}|{{ $probes }}"}[10m])))
    > {{ $limits.apiLatencySeconds }}
- alert: StorageUnreachable
  severity: critical
  for: 5m
  summary: '{{ `{{ $value | humanizePercentage }}` }} of the calls to S3 fail or are refused.'
  expr: >-
    sum(rate(transcription_api_calls_total{ {{- $here }}, system="s3", outcome=~"unavailable|refused"}[5m]))
    / sum(rate(transcription_api_calls_total{ {{- $here }}, system="s3"}[5m])) > {{ $limits.storageErrorRatio }}
- alert: ApiCacheStale
  severity: critical
  for: 5m
  summary: 'What the API shows of transcriptions is {{ `{{ $value | humanizeDuration }}` }} old.'
  expr: max(transcription_api_cache_age_seconds{ {{- $here }}}) > {{ int64 $limits.watchIdleSeconds }}
- alert: ApiKeysStale
  severity: warning
  for: 5m
  summary: 'The file of API keys cannot be read; changes of the last {{ `{{ $value | humanizeDuration }}` }} do not count.'
  expr: max(transcription_api_keys_file_age_seconds{ {{- $here }}}) > {{ int64 $limits.keysAgeSeconds }}
{{- end }}
