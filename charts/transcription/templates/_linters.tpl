{{/* Why a linter may pass over some of its checks, on the object that it looks at, in the words that checkov and kube-score read. */}}

{{- define "transcription.lintNotes" -}}
checkov.io/skip1: CKV_K8S_11=A CPU limit throttles while the node has processors to spare. Under pressure the request is the share.
checkov.io/skip2: CKV_K8S_15=Tags of a release do not move, and a registry that is down stops nobody's work.
checkov.io/skip3: CKV_K8S_35=Keys come by the environment, where boto3 reads them. Who may look into that may read files as well.
checkov.io/skip4: CKV_K8S_43=Digests are of the registry that an installation pulls from. Its values give them.
{{- if .runsOnce }}
checkov.io/skip5: CKV_K8S_8=It runs once, to its end.
checkov.io/skip6: CKV_K8S_9=It runs once, to its end.
{{- end }}
{{- /* The first two as above. */}}
kube-score/ignore: {{ concat (list "container-resources" "container-image-pull-policy") (.ignored | default list) | join "," }}
{{- end }}
