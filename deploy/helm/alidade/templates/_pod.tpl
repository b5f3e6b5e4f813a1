{{/* What all pods have in common. Takes root, service, role, account. */}}
{{- define "alidade.podSpec" -}}
{{- $values := .root.Values -}}
serviceAccountName: {{ .account }}
automountServiceAccountToken: false
# Kubernetes would add variables such as AUTH_PORT for every Service, which look like settings.
enableServiceLinks: false
{{- with $values.image.pullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
{{- with $values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
securityContext:
  runAsNonRoot: true
  runAsUser: 10001
  runAsGroup: 10001
  fsGroup: 10001
  fsGroupChangePolicy: OnRootMismatch
  seccompProfile:
    type: RuntimeDefault
{{- with $values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $values.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{- define "alidade.containerSecurity" -}}
securityContext:
  allowPrivilegeEscalation: false
  privileged: false
  readOnlyRootFilesystem: true
  runAsNonRoot: true
  runAsUser: 10001
  runAsGroup: 10001
  capabilities:
    drop: [ALL]
  seccompProfile:
    type: RuntimeDefault
{{- end -}}

{{/* Takes root, service, config (name of the ConfigMap), secret (name of the Secret). */}}
{{- define "alidade.environment" -}}
envFrom:
  - configMapRef:
      name: {{ .config }}
  - secretRef:
      name: {{ .secret }}
{{- end -}}

{{- define "alidade.mounts" -}}
{{- $values := .root.Values -}}
volumeMounts:
  - name: scratch
    mountPath: /tmp
  {{- if and $values.s3.caSecret (ne .service "auth") }}
  - name: s3-ca
    mountPath: /etc/alidade/s3-ca
    readOnly: true
  {{- end }}
  {{- if and $values.mail.host $values.mail.caSecret (eq .service "auth") }}
  - name: mail-ca
    mountPath: /etc/alidade/mail-ca
    readOnly: true
  {{- end }}
  {{- if $values.database.caSecret }}
  - name: database-ca
    mountPath: /etc/alidade/database-ca
    readOnly: true
  {{- end }}
  {{- if and (eq .service "catalogs") (ne .role "migrate") }}
  - name: data
    mountPath: /var/lib/alidade/reference
  {{- end }}
  {{- if and (eq .service "astrometry") (eq .role "worker") $values.services.astrometry.indexes.existingClaim }}
  - name: indexes
    mountPath: /var/lib/alidade/indexes
    readOnly: true
  {{- end }}
{{- end -}}

{{/* Takes root, service, role, scratchSize. */}}
{{- define "alidade.volumes" -}}
{{- $values := .root.Values -}}
volumes:
  # The root is read-only: what is written goes here, and is gone with the pod.
  - name: scratch
    emptyDir:
      sizeLimit: {{ .scratchSize }}
  {{- if and $values.s3.caSecret (ne .service "auth") }}
  - name: s3-ca
    secret:
      secretName: {{ $values.s3.caSecret }}
      defaultMode: 0444
      items:
        - key: ca.crt
          path: ca.crt
  {{- end }}
  {{- if and $values.mail.host $values.mail.caSecret (eq .service "auth") }}
  - name: mail-ca
    secret:
      secretName: {{ $values.mail.caSecret }}
      defaultMode: 0444
      items:
        - key: ca.crt
          path: ca.crt
  {{- end }}
  {{- if $values.database.caSecret }}
  - name: database-ca
    secret:
      secretName: {{ $values.database.caSecret }}
      defaultMode: 0444
      items:
        - key: ca.crt
          path: ca.crt
  {{- end }}
  {{- if and (eq .service "catalogs") (ne .role "migrate") }}
  - name: data
    persistentVolumeClaim:
      claimName: {{ default (printf "%s-reference" (include "alidade.fullname" .root)) $values.services.catalogs.data.existingClaim }}
  {{- end }}
  {{- if and (eq .service "astrometry") (eq .role "worker") $values.services.astrometry.indexes.existingClaim }}
  - name: indexes
    persistentVolumeClaim:
      claimName: {{ $values.services.astrometry.indexes.existingClaim }}
      readOnly: true
  {{- end }}
{{- end -}}

{{/* Pods of one Deployment go to different nodes where there are some. Takes root, service, role. */}}
{{- define "alidade.spread" -}}
topologySpreadConstraints:
  {{- if .root.Values.topologySpreadConstraints }}
  {{- toYaml .root.Values.topologySpreadConstraints | nindent 2 }}
  {{- else }}
  - maxSkew: 1
    topologyKey: kubernetes.io/hostname
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels:
        {{- include "alidade.selector" . | nindent 8 }}
  {{- end }}
{{- end -}}

{{/* Pods begin anew when their settings change. Takes root, service. */}}
{{- define "alidade.podAnnotations" -}}
alidade/settings: {{ include "alidade.settings" . | sha256sum | trunc 32 }}
{{- if .root.Values.secrets.create }}
alidade/secrets: {{ include "alidade.secretSettings" . | sha256sum | trunc 32 }}
{{- end }}
{{- with .root.Values.podAnnotations }}
{{ toYaml . }}
{{- end }}
{{- end -}}
