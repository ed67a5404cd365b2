{{/* The labels of an object. Takes the value of the label app; empty leaves it out. */}}
{{- define "kube-face.labels" -}}
{{- with . }}app: {{ . }}
{{ end -}}
app.kubernetes.io/part-of: kube-face
{{- end }}

{{/* The image of a service of ours. Takes the root and its name. */}}
{{- define "kube-face.image" -}}
{{- $image := (index . 0).Values.image -}}
{{- with $image.registry }}{{ . }}/{{ end -}}
{{ $image.owner }}/{{ index . 1 }}:{{ $image.tag | default (index . 0).Chart.AppVersion }}
{{- end }}

{{/* Name of the Secret with passwords and tokens. */}}
{{- define "kube-face.secret" -}}
{{ .Values.secret.existingSecret | default "kube-face-secret" }}
{{- end }}

{{/* What keeps an object when the release is deleted. */}}
{{- define "kube-face.keep" -}}
helm.sh/resource-policy: keep
{{- end }}

{{/* Where the pods of a service run. Takes its values. */}}
{{- define "kube-face.placement" -}}
{{- range $name := list "nodeSelector" "tolerations" "affinity" "topologySpreadConstraints" }}
{{- with index $ $name }}
{{ $name }}: {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}
{{- end }}

{{/* The beginning of each pod of ours and of NSQ's. Takes the root, the account's name, the grace period in seconds,
     the values of the placement, and whether its volumes belong to its user. */}}
{{- define "kube-face.pod" -}}
serviceAccountName: {{ index . 1 }}
automountServiceAccountToken: false
enableServiceLinks: false
terminationGracePeriodSeconds: {{ index . 2 }}
{{- with (index . 0).Values.image.pullSecrets }}
imagePullSecrets: {{- toYaml . | nindent 2 }}
{{- end }}
{{- include "kube-face.placement" (index . 3) }}
securityContext:
  runAsNonRoot: true
  runAsUser: 65532
  runAsGroup: 65532
  {{- if index . 4 }}
  fsGroup: 65532
  fsGroupChangePolicy: OnRootMismatch
  {{- end }}
  seccompProfile:
    type: RuntimeDefault
{{- end }}

{{/* The end of each container: what it may take, and what it may do. Takes the values of its resources. */}}
{{- define "kube-face.limits" -}}
resources: {{- toYaml . | nindent 2 }}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities:
    drop: [ALL]
{{- end }}

{{/* The probes of a service with an operations port. */}}
{{- define "kube-face.probes" -}}
startupProbe:
  httpGet:
    path: /livez
    port: ops
  periodSeconds: 1
  failureThreshold: 60
readinessProbe:
  httpGet:
    path: /readyz
    port: ops
  periodSeconds: 2
livenessProbe:
  httpGet:
    path: /livez
    port: ops
  periodSeconds: 10
  timeoutSeconds: 5
{{- end }}

{{/* How the pods of a Deployment are replaced. */}}
{{- define "kube-face.rollout" -}}
minReadySeconds: 5
strategy:
  type: RollingUpdate
  rollingUpdate:
    maxUnavailable: 0
    maxSurge: 1
{{- end }}

{{/* Where the database is. */}}
{{- define "kube-face.database" -}}
{{- $mysql := .Values.mysql -}}
- name: MYSQL_CONNECTION
  value: {{ ternary "mysql" $mysql.external.host $mysql.bundled | quote }}
- name: MYSQL_PORT
  value: {{ include "kube-face.mysqlPort" . | quote }}
- name: MYSQL_DBNAME
  value: {{ $mysql.database | quote }}
- name: MYSQL_USERPASSWORD
  valueFrom:
    secretKeyRef:
      name: {{ include "kube-face.secret" . }}
      key: mysql_userpassword
{{- end }}

{{/* The tokens. A Secret without them must not open what should be closed: the pod does not start then. */}}
{{- define "kube-face.tokens" -}}
- name: AUTH_TOKENS
  valueFrom:
    secretKeyRef:
      name: {{ include "kube-face.secret" . }}
      key: auth_tokens
      optional: {{ not .Values.auth.enabled }}
{{- end }}

{{/* The volume with the file of tokens. */}}
{{- define "kube-face.tokensVolume" -}}
# Where AUTH_TOKENS is @/run/secrets/kube-face/tokens: it is read again when it changes.
- name: tokens
  secret:
    secretName: {{ include "kube-face.secret" . }}
    optional: true
    items:
      - key: tokens
        path: tokens
{{- end }}

{{/* Settings of a service, and its other environment variables. Takes the root and the service's values. */}}
{{- define "kube-face.settings" -}}
{{- $root := index . 0 -}}
{{- $service := index . 1 -}}
{{- range $name, $value := $service.settings }}
- name: {{ $name }}
  {{- /* A large number would be written with an exponent. */}}
  {{- if and (kindIs "float64" $value) (eq (float64 (int64 $value)) $value) }}{{ $value = int64 $value }}{{ end }}
  value: {{ $value | toString | quote }}
{{- end }}
{{- if ne $root.Values.traces.endpoint "off" }}
- name: OTEL_EXPORTER_OTLP_ENDPOINT
  value: {{ $root.Values.traces.endpoint | quote }}
{{- end }}
{{- with $service.extraEnv }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* A volume of pictures. Takes the root, known or unknown. */}}
{{- define "kube-face.pictures" -}}
{{- $folder := ternary (index . 0).Values.pictures.knownPeople (index . 0).Values.pictures.unknownPeople (eq (index . 1) "known") -}}
- name: {{ index . 1 }}-people
  persistentVolumeClaim:
    claimName: {{ $folder.existingClaim | default (printf "%s-people" (index . 1)) }}
{{- end }}

{{- define "kube-face.nsqd" -}}
{{ ternary "nsqd-srv:4150" .Values.nsq.external.nsqd .Values.nsq.bundled }}
{{- end }}

{{- define "kube-face.nsqlookupd" -}}
{{ ternary "nsqlookup:4161" .Values.nsq.external.nsqlookupd .Values.nsq.bundled }}
{{- end }}

{{- define "kube-face.mysqlPort" -}}
{{ ternary 3306 (int .Values.mysql.external.port) .Values.mysql.bundled }}
{{- end }}

{{/* Folder of uploads, as receiver and retention see it. */}}
{{- define "kube-face.uploads" -}}
{{ ternary "/unknown_people/uploads" "off" .Values.uploads.enabled }}
{{- end }}

{{/* Port of a URL: its own, or that of its scheme. Takes the URL. */}}
{{- define "kube-face.portOf" -}}
{{- $url := urlParse . -}}
{{- regexFind ":[0-9]+$" $url.host | trimPrefix ":" | default (ternary "443" "80" (eq $url.scheme "https")) }}
{{- end }}
