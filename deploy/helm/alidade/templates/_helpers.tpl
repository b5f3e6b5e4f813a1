{{/* Names ------------------------------------------------------------------------------------------------------- */}}

{{- define "alidade.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 40 | trimSuffix "-" -}}
{{- end -}}

{{- define "alidade.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- $name := include "alidade.name" . -}}
{{- ternary .Release.Name (printf "%s-%s" .Release.Name $name) (contains $name .Release.Name) | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "alidade.serviceAccount" -}}
{{- default (ternary (include "alidade.fullname" .) "default" .Values.serviceAccount.create) .Values.serviceAccount.name -}}
{{- end -}}

{{/* The templates below take a dictionary: root (the chart's scope), service, role (api, worker, migrate). */}}

{{- define "alidade.secretName" -}}
{{- default (printf "%s-%s" (include "alidade.fullname" .root) .service) (get .root.Values.secrets.existing .service) -}}
{{- end -}}

{{- define "alidade.image" -}}
{{- $image := .root.Values.image -}}
{{- $surveys := dig "surveys" "enabled" false (get .root.Values.services .service) -}}
{{- $variant := ternary (printf "%s-surveys" .service) .service (and $surveys (eq .role "worker")) -}}
{{- $name := printf "%s%s" $image.prefix $variant -}}
{{- if $image.registry }}{{ $name = printf "%s/%s" $image.registry $name }}{{ end -}}
{{- $digest := get $image.digests $variant -}}
{{- if $digest -}}
{{- printf "%s@%s" $name $digest -}}
{{- else -}}
{{- printf "%s:%s" $name (default .root.Chart.AppVersion $image.tag) -}}
{{- end -}}
{{- end -}}

{{/* Labels ------------------------------------------------------------------------------------------------------ */}}

{{- define "alidade.platformLabels" -}}
app.kubernetes.io/name: {{ include "alidade.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "alidade.commonLabels" -}}
{{ include "alidade.platformLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end -}}

{{- define "alidade.selector" -}}
{{ include "alidade.platformLabels" .root }}
app.kubernetes.io/component: {{ .service }}
alidade/role: {{ .role }}
{{- end -}}

{{- define "alidade.labels" -}}
{{ include "alidade.commonLabels" .root }}
app.kubernetes.io/component: {{ .service }}
alidade/role: {{ .role }}
{{- end -}}

{{/* Settings ---------------------------------------------------------------------------------------------------- */}}

{{- define "alidade.url" -}}
http://{{ include "alidade.fullname" .root }}-{{ .service }}:8000
{{- end -}}

{{/* Plain settings of a service as environment variables. */}}
{{- define "alidade.settings" -}}
{{- $values := .root.Values -}}
{{- $prefix := upper .service -}}
{{- $own := get $values.services .service -}}
{{- $settings := dict
  "ENVIRONMENT" $values.platform.environment
  "LOG_FORMAT" $values.platform.logFormat
  "LOG_LEVEL" $values.platform.logLevel
  "PUBLIC_BASE_URL" $values.platform.publicUrl
  "DATABASE__POOL_SIZE" ($values.database.poolSize | toString)
  "DATABASE__POOL_OVERFLOW" ($values.database.poolOverflow | toString)
  "AUTH_JWKS_URL" (printf "%s/.well-known/jwks.json" (include "alidade.url" (dict "root" .root "service" "auth")))
-}}
{{- if ne .service "auth" -}}
{{- $_ := set $settings "STORAGE__KIND" "s3" -}}
{{- $_ := set $settings "STORAGE__S3_ENDPOINT" $values.s3.endpoint -}}
{{- $_ := set $settings "STORAGE__S3_BUCKET" $values.s3.bucket -}}
{{- $_ := set $settings "STORAGE__S3_REGION" $values.s3.region -}}
{{- $_ := set $settings "STORAGE__PUBLIC_URL" (default $values.s3.endpoint $values.s3.publicEndpoint) -}}
{{- if $values.s3.caSecret -}}
{{- $_ := set $settings "STORAGE__S3_CA_FILE" "/etc/alidade/s3-ca/ca.crt" -}}
{{- end -}}
{{- $_ := set $settings "AUTH_URL" (include "alidade.url" (dict "root" .root "service" "auth")) -}}
{{- $_ := set $settings "WORKER_CONCURRENCY" ($own.worker.concurrency | toString) -}}
{{- end -}}
{{- if eq .service "auth" -}}
{{- $_ := set $settings "TRUSTED_PROXIES" ($values.platform.podNetworks | toJson) -}}
{{- $_ := set $settings "REGISTRATION" $values.accounts.registration -}}
{{- $_ := set $settings "CONFIRM_ADDRESS" $values.accounts.confirmAddress -}}
{{- if $values.accounts.pagesUrl -}}
{{- $_ := set $settings "ACCOUNT_PAGES_URL" $values.accounts.pagesUrl -}}
{{- end -}}
{{- $mail := $values.mail -}}
{{- if and (not $mail.host) (or (eq $values.accounts.registration "invitation") $values.accounts.confirmAddress) -}}
{{- fail "accounts.registration: invitation and accounts.confirmAddress need mail.host" -}}
{{- end -}}
{{- if $mail.host -}}
{{- $_ := set $settings "MAIL__KIND" "smtp" -}}
{{- $_ := set $settings "MAIL__HOST" $mail.host -}}
{{- $_ := set $settings "MAIL__PORT" $mail.port -}}
{{- $_ := set $settings "MAIL__SECURITY" $mail.security -}}
{{- $_ := set $settings "MAIL__SENDER" $mail.sender -}}
{{- $_ := set $settings "MAIL__SENDER_NAME" $mail.senderName -}}
{{- if $mail.username -}}
{{- $_ := set $settings "MAIL__USERNAME" $mail.username -}}
{{- end -}}
{{- if $mail.caSecret -}}
{{- $_ := set $settings "MAIL__CA_FILE" "/etc/alidade/mail-ca/ca.crt" -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- if eq .service "gateway" -}}
{{- $root := .root -}}
{{- range list "gateway" "photometry" "astrometry" "catalogs" -}}
{{- $_ := set $settings (printf "%s_URL" (upper .)) (include "alidade.url" (dict "root" $root "service" .)) -}}
{{- end -}}
{{- if $values.ingress.enabled -}}
{{- $_ := set $settings "FORWARDED_ALLOW_IPS" (default $values.platform.podNetworks $values.ingress.proxyNetworks | toJson) -}}
{{- end -}}
{{- $_ := set $settings "CORS_ORIGINS" ($values.platform.corsOrigins | toJson) -}}
{{- end -}}
{{- if eq .service "astrometry" -}}
{{- $_ := set $settings "CATALOGS_URL" (include "alidade.url" (dict "root" .root "service" "catalogs")) -}}
{{- $_ := set $settings "NOVA__MODE" (ternary "online" "offline" $own.nova.enabled) -}}
{{- if $own.indexes.existingClaim -}}
{{- $_ := set $settings "INDEX_FOLDERS" (list "/var/lib/alidade/indexes" | toJson) -}}
{{- end -}}
{{- end -}}
{{- if eq .service "catalogs" -}}
{{- $_ := set $settings "DATA_FOLDER" "/var/lib/alidade/reference" -}}
{{- end -}}
{{- range $name, $value := $own.settings -}}
{{- $_ := set $settings $name ($value | toString) -}}
{{- end -}}
{{- range $name, $value := $settings }}
{{ $prefix }}_{{ $name }}: {{ $value | quote }}
{{- end }}
{{- end -}}

{{/* Secret settings of a service, where the chart makes them. */}}
{{- define "alidade.secretSettings" -}}
{{- $values := .root.Values -}}
{{- $given := $values.secrets.values -}}
{{- $prefix := upper .service -}}
{{- $missing := list -}}
{{- range list "databaseUser" "databasePassword" "s3AccessKey" "s3SecretKey" "signing" "sealing" -}}
{{- if not (get $given .) }}{{ $missing = append $missing (printf "secrets.values.%s" .) }}{{ end -}}
{{- end -}}
{{- range $name, $secret := $given.clients -}}
{{- if not $secret }}{{ $missing = append $missing (printf "secrets.values.clients.%s" $name) }}{{ end -}}
{{- end -}}
{{- if and $values.mail.host $values.mail.username (not $given.mailPassword) -}}
{{- $missing = append $missing "secrets.values.mailPassword" -}}
{{- end -}}
{{- if $missing }}{{ fail (printf "secrets.create is set, but these are empty: %s" (join ", " $missing)) }}{{ end -}}
{{- $query := printf "sslmode=%s" $values.database.sslMode -}}
{{- if $values.database.caSecret }}{{ $query = printf "%s&sslrootcert=/etc/alidade/database-ca/ca.crt" $query }}{{ end -}}
{{- $name := printf "%s%s" $values.database.databasePrefix .service -}}
{{- $address := printf "%s:%v" $values.database.host $values.database.port -}}
{{ $prefix }}_DATABASE_URL: {{ printf "postgresql://%s:%s@%s/%s?%s" (urlquery $given.databaseUser | replace "+" "%20") (urlquery $given.databasePassword | replace "+" "%20") $address $name $query | quote }}
{{- if eq .service "auth" }}
AUTH_SIGNING_SECRET: {{ printf "1:%s" $given.signing | quote }}
AUTH_SEALING_SECRET: {{ printf "1:%s" $given.sealing | quote }}
{{- if and $values.mail.host $values.mail.username }}
AUTH_MAIL__PASSWORD: {{ $given.mailPassword | quote }}
{{- end }}
{{- range $client, $secret := $given.clients }}
AUTH_SERVICE_CLIENTS__{{ upper $client }}__SECRET: {{ $secret | quote }}
{{- end }}
{{- else }}
{{ $prefix }}_CLIENT_SECRET: {{ get $given.clients .service | quote }}
{{ $prefix }}_STORAGE__S3_ACCESS_KEY: {{ $given.s3AccessKey | quote }}
{{ $prefix }}_STORAGE__S3_SECRET_KEY: {{ $given.s3SecretKey | quote }}
{{- if or (eq .service "catalogs") (and (eq .service "astrometry") $values.services.astrometry.nova.enabled) }}
{{ $prefix }}_SEALING_SECRET: {{ printf "1:%s" $given.sealing | quote }}
{{- end }}
{{- end }}
{{- end -}}
