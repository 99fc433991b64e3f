// Package register stands for upstream's two of that name in the build: of all providers and
// generators only the fake ones are linked, the clouds' clients would take most of its time.
package register

import (
	_ "github.com/external-secrets/external-secrets/pkg/provider/fake"
)
