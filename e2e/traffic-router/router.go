package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log"
	"time"

	"github.com/argoproj/argo-rollouts/pkg/apis/rollouts/v1alpha1"
	"github.com/argoproj/argo-rollouts/utils/plugin/types"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/util/retry"
)

const (
	pluginName  = "argoproj-labs/gatewayAPI"
	callSeconds = 10 * time.Second
)

var httpRoutes = schema.GroupVersionResource{
	Group: "gateway.networking.k8s.io", Version: "v1", Resource: "httproutes",
}

// router writes what the controller asks for into the HTTPRoute that a Rollout names.
type router struct {
	client dynamic.Interface
}

// settings are what a Rollout says under trafficRouting.plugins.
type settings struct {
	HTTPRoute string `json:"httpRoute"`
	Namespace string `json:"namespace"`
}

// edit returns the route as it should be; it leaves what it was given alone.
type edit func(*unstructured.Unstructured) (*unstructured.Unstructured, error)

func (r *router) InitPlugin() types.RpcError {
	// The controller's environment is ours: KUBECONFIG out of a cluster, the service account in one.
	config, err := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(
		clientcmd.NewDefaultClientConfigLoadingRules(), &clientcmd.ConfigOverrides{},
	).ClientConfig()
	if err != nil {
		return answer(fmt.Errorf("no cluster to write to: %w", err))
	}
	config.QPS, config.Burst = 50, 100
	r.client, err = dynamic.NewForConfig(config)
	return answer(err)
}

// UpdateHash has nothing to do: a route names Services, not pods.
func (r *router) UpdateHash(
	*v1alpha1.Rollout, string, string, []v1alpha1.WeightDestination,
) types.RpcError {
	return types.RpcError{}
}

func (r *router) SetWeight(
	rollout *v1alpha1.Rollout, weight int32, further []v1alpha1.WeightDestination,
) types.RpcError {
	if len(further) > 0 {
		return answer(fmt.Errorf("weights of experiments are not supported by this test double"))
	}
	return answer(r.change(rollout, weightsOf(rollout, weight)))
}

func (r *router) VerifyWeight(
	rollout *v1alpha1.Rollout, weight int32, _ []v1alpha1.WeightDestination,
) (types.RpcVerified, types.RpcError) {
	ctx, cancel := context.WithTimeout(context.Background(), callSeconds)
	defer cancel()
	_, found, err := r.find(ctx, rollout)
	if err != nil {
		return types.NotVerified, answer(err)
	}
	wanted, err := weightsOf(rollout, weight)(found)
	if err != nil || !equality.Semantic.DeepEqual(found, wanted) {
		return types.NotVerified, answer(err)
	}
	return types.Verified, types.RpcError{}
}

// SetHeaderRoute without a match takes the route away, as the real plugin does.
func (r *router) SetHeaderRoute(
	rollout *v1alpha1.Rollout, header *v1alpha1.SetHeaderRoute,
) types.RpcError {
	if len(header.Match) == 0 {
		return answer(r.change(rollout, without(header.Name)))
	}
	canary := rollout.Spec.Strategy.Canary
	return answer(r.change(rollout, func(route *unstructured.Unstructured) (
		*unstructured.Unstructured, error,
	) {
		return withHeaderRule(route, canary.StableService, canary.CanaryService, header)
	}))
}

func (r *router) SetMirrorRoute(
	*v1alpha1.Rollout, *v1alpha1.SetMirrorRoute,
) types.RpcError {
	return answer(fmt.Errorf("setMirrorRoute is not supported by this test double"))
}

func (r *router) RemoveManagedRoutes(rollout *v1alpha1.Rollout) types.RpcError {
	names := []string{}
	for _, managed := range rollout.Spec.Strategy.Canary.TrafficRouting.ManagedRoutes {
		names = append(names, managed.Name)
	}
	if len(names) == 0 {
		return types.RpcError{}
	}
	return answer(r.change(rollout, without(names...)))
}

func (r *router) Type() string {
	return pluginName
}

// change reads the route, edits it and writes it back; another writer in between means once more.
func (r *router) change(rollout *v1alpha1.Rollout, edit edit) error {
	ctx, cancel := context.WithTimeout(context.Background(), callSeconds)
	defer cancel()
	return retry.RetryOnConflict(retry.DefaultBackoff, func() error {
		routes, found, err := r.find(ctx, rollout)
		if err != nil {
			return err
		}
		wanted, err := edit(found)
		if err != nil || equality.Semantic.DeepEqual(found, wanted) {
			return err
		}
		_, err = routes.Update(ctx, wanted, metav1.UpdateOptions{})
		if err == nil {
			log.Printf("HTTPRoute %s/%s: %s", found.GetNamespace(), found.GetName(), summary(wanted))
		}
		return err
	})
}

func (r *router) find(ctx context.Context, rollout *v1alpha1.Rollout) (
	dynamic.ResourceInterface, *unstructured.Unstructured, error,
) {
	named, err := settingsOf(rollout)
	if err != nil {
		return nil, nil, err
	}
	routes := r.client.Resource(httpRoutes).Namespace(named.Namespace)
	found, err := routes.Get(ctx, named.HTTPRoute, metav1.GetOptions{})
	return routes, found, err
}

func settingsOf(rollout *v1alpha1.Rollout) (settings, error) {
	var named settings
	written := rollout.Spec.Strategy.Canary.TrafficRouting.Plugins[pluginName]
	if err := json.Unmarshal(written, &named); err != nil {
		return named, fmt.Errorf("settings of plugin %s cannot be read: %w", pluginName, err)
	}
	if named.HTTPRoute == "" || named.Namespace == "" {
		return named, fmt.Errorf("plugin %s needs httpRoute and namespace", pluginName)
	}
	return named, nil
}

func weightsOf(rollout *v1alpha1.Rollout, weight int32) edit {
	canary := rollout.Spec.Strategy.Canary
	return func(route *unstructured.Unstructured) (*unstructured.Unstructured, error) {
		return withWeights(route, canary.StableService, canary.CanaryService, int64(weight))
	}
}

func answer(err error) types.RpcError {
	if err == nil {
		return types.RpcError{}
	}
	return types.RpcError{ErrorString: err.Error()}
}
