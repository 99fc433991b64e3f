// Test double of argoproj-labs/gatewayAPI, the traffic router plugin of Argo Rollouts: it speaks
// the same interface and writes the same fields of one HTTPRoute. Where the real binary can be
// had, use that (ROLLOUTS_GATEWAYAPI_PLUGIN).
package main

import (
	goPlugin "github.com/hashicorp/go-plugin"

	"github.com/argoproj/argo-rollouts/rollout/trafficrouting/plugin/rpc"
)

// The values that the controller's own client of traffic router plugins asks for.
var handshake = goPlugin.HandshakeConfig{
	ProtocolVersion:  1,
	MagicCookieKey:   "ARGO_ROLLOUTS_RPC_PLUGIN",
	MagicCookieValue: "trafficrouter",
}

func main() {
	goPlugin.Serve(&goPlugin.ServeConfig{
		HandshakeConfig: handshake,
		Plugins: map[string]goPlugin.Plugin{
			"RpcTrafficRouterPlugin": &rpc.RpcTrafficRouterPlugin{Impl: &router{}},
		},
	})
}
