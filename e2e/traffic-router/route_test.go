package main

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/argoproj/argo-rollouts/pkg/apis/rollouts/v1alpha1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

const (
	inference = `{"matches": [{"path": {"type": "PathPrefix", "value": "/v2"}}], "timeouts": {"request": "30s"},
		"backendRefs": [{"name": "stable", "port": 80, "weight": 100}, {"name": "canary", "port": 80, "weight": 0}]}`
	metrics = `{"matches": [{"path": {"type": "Exact", "value": "/metrics"}}],
		"backendRefs": [{"name": "stable", "port": 80, "weight": 1}]}`
)

func routeOf(t *testing.T, rules ...string) *unstructured.Unstructured {
	t.Helper()
	route := &unstructured.Unstructured{}
	text := `{"apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute",
		"metadata": {"namespace": "inference", "name": "inference"}, "spec": {"rules": [` +
		strings.Join(rules, ",") + `]}}`
	if err := json.Unmarshal([]byte(text), route); err != nil {
		t.Fatal(err)
	}
	return route
}

func must(t *testing.T, route *unstructured.Unstructured, err error) *unstructured.Unstructured {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	return route
}

func expect(t *testing.T, route *unstructured.Unstructured, wanted string) {
	t.Helper()
	if got := summary(route); got != wanted {
		t.Errorf("%s, not %s", got, wanted)
	}
}

func TestWeightsAreSharedInEveryRuleThatHoldsBoth(t *testing.T) {
	given := routeOf(t, inference, metrics, inference)
	before := given.DeepCopy()
	changed, err := withWeights(given, "stable", "canary", 10)
	expect(t, must(t, changed, err), "stable 90, canary 10; stable 1; stable 90, canary 10")
	if !equality.Semantic.DeepEqual(given, before) {
		t.Error("the route that was given has changed")
	}
}

func TestARouteWithoutBothIsNamed(t *testing.T) {
	_, err := withWeights(routeOf(t, metrics), "stable", "canary", 10)
	if err == nil || !strings.Contains(err.Error(), "HTTPRoute inference/inference has no rule with both") {
		t.Errorf("not said: %v", err)
	}
}

func header(value v1alpha1.StringMatch) *v1alpha1.SetHeaderRoute {
	return &v1alpha1.SetHeaderRoute{Name: "b", Match: []v1alpha1.HeaderRoutingMatch{
		{HeaderName: "X-Bucket", HeaderValue: &value},
	}}
}

func TestAHeaderRuleStandsOnceAndKeepsItsWeight(t *testing.T) {
	route := routeOf(t, inference)
	for range 2 {
		changed, err := withHeaderRule(route, "stable", "canary", header(v1alpha1.StringMatch{Regex: "0[0-9]"}))
		route = must(t, changed, err)
	}
	changed, err := withWeights(route, "stable", "canary", 0)
	route = must(t, changed, err)
	expect(t, route, "stable 100, canary 0; b: canary 1")
	rules, _, _ := unstructured.NestedSlice(route.Object, "spec", "rules")
	matches, _ := json.Marshal(rules[1].(object)["matches"])
	wanted := `[{"headers":[{"name":"X-Bucket","type":"RegularExpression","value":"0[0-9]"}],` +
		`"path":{"type":"PathPrefix","value":"/v2"}}]`
	if string(matches) != wanted {
		t.Errorf("%s, not %s", matches, wanted)
	}
}

func TestManagedRulesGoByName(t *testing.T) {
	changed, err := withHeaderRule(
		routeOf(t, inference), "stable", "canary", header(v1alpha1.StringMatch{Prefix: "a.b"}))
	changed, err = without("b", "other")(must(t, changed, err))
	expect(t, must(t, changed, err), "stable 100, canary 0")
}

func TestAHeaderWithoutAValueIsRefused(t *testing.T) {
	_, err := withHeaderRule(routeOf(t, inference), "stable", "canary", header(v1alpha1.StringMatch{}))
	if err == nil || !strings.Contains(err.Error(), "X-Bucket") {
		t.Errorf("not said: %v", err)
	}
}
