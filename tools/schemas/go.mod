module tools/schemas

go 1.26.0

require (
	github.com/argoproj/argo-cd/v3 v3.5.3
	github.com/argoproj/argo-rollouts v1.10.0
	github.com/cert-manager/cert-manager v1.21.2
	github.com/envoyproxy/gateway v1.9.0
	github.com/external-secrets/external-secrets v1.3.2
	github.com/prometheus-operator/prometheus-operator v0.92.0
	sigs.k8s.io/gateway-api v1.6.1
)
