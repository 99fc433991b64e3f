package main

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/argoproj/argo-rollouts/pkg/apis/rollouts/v1alpha1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

type object = map[string]any

// withWeights shares the requests of every rule that holds both Services.
func withWeights(
	route *unstructured.Unstructured, stable, canary string, weight int64,
) (*unstructured.Unstructured, error) {
	return withRules(route, func(rules []any) ([]any, error) {
		shared := 0
		for _, rule := range rules {
			toStable, toCanary := backend(rule, stable), backend(rule, canary)
			if toStable == nil || toCanary == nil {
				continue
			}
			toStable["weight"], toCanary["weight"] = 100-weight, weight
			shared++
		}
		if shared == 0 {
			return nil, noRule(route, stable, canary)
		}
		return rules, nil
	})
}

// withHeaderRule sends requests with the header to the canary, whatever the weights are. The rule
// carries the managed route's name: so it is found again, and set twice it stands there once.
func withHeaderRule(
	route *unstructured.Unstructured, stable, canary string, header *v1alpha1.SetHeaderRoute,
) (*unstructured.Unstructured, error) {
	headers, err := headerMatches(header.Match)
	if err != nil {
		return nil, err
	}
	return withRules(route, func(rules []any) ([]any, error) {
		for _, rule := range rules {
			if backend(rule, stable) == nil || backend(rule, canary) == nil {
				continue
			}
			added := headerRule(header.Name, rule.(object), backend(rule, canary), headers)
			return append(notNamed(rules, header.Name), added), nil
		}
		return nil, noRule(route, stable, canary)
	})
}

// without takes managed rules away.
func without(names ...string) edit {
	return func(route *unstructured.Unstructured) (*unstructured.Unstructured, error) {
		return withRules(route, func(rules []any) ([]any, error) {
			return notNamed(rules, names...), nil
		})
	}
}

func withRules(
	route *unstructured.Unstructured, change func([]any) ([]any, error),
) (*unstructured.Unstructured, error) {
	changed := route.DeepCopy()
	rules, _, err := unstructured.NestedSlice(changed.Object, "spec", "rules")
	if err != nil {
		return nil, err
	}
	if rules, err = change(rules); err != nil {
		return nil, err
	}
	return changed, unstructured.SetNestedSlice(changed.Object, rules, "spec", "rules")
}

func backend(rule any, service string) object {
	backends, _ := rule.(object)["backendRefs"].([]any)
	for _, reference := range backends {
		if found, ok := reference.(object); ok && found["name"] == service {
			return found
		}
	}
	return nil
}

func notNamed(rules []any, names ...string) []any {
	return slices.DeleteFunc(rules, func(rule any) bool {
		name, _ := rule.(object)["name"].(string)
		return name != "" && slices.Contains(names, name)
	})
}

func headerRule(name string, like object, canary object, headers []any) object {
	to := object{}
	for key, value := range canary {
		if key != "weight" {
			to[key] = value
		}
	}
	// The API server's default, said here: the route that is read back is the one that was written.
	to["weight"] = int64(1)
	matches := []any{}
	for _, match := range matchesOf(like) {
		added := object{"headers": headers}
		for _, kept := range []string{"path", "queryParams"} {
			if value, ok := match[kept]; ok {
				added[kept] = value
			}
		}
		matches = append(matches, added)
	}
	return object{"name": name, "matches": matches, "backendRefs": []any{to}}
}

// matchesOf a rule that names none: all paths.
func matchesOf(rule object) []object {
	found := []object{}
	matches, _ := rule["matches"].([]any)
	for _, match := range matches {
		found = append(found, match.(object))
	}
	if len(found) == 0 {
		found = append(found, object{"path": object{"type": "PathPrefix", "value": "/"}})
	}
	return found
}

func headerMatches(wanted []v1alpha1.HeaderRoutingMatch) ([]any, error) {
	matches := []any{}
	for _, match := range wanted {
		kind, value := "RegularExpression", ""
		switch given := match.HeaderValue; {
		case given == nil:
		case given.Exact != "":
			kind, value = "Exact", given.Exact
		case given.Prefix != "":
			value = regexp.QuoteMeta(given.Prefix) + ".*"
		default:
			value = given.Regex
		}
		if value == "" {
			return nil, fmt.Errorf("header %s: one of exact, prefix, regex is needed", match.HeaderName)
		}
		matches = append(matches, object{"name": match.HeaderName, "type": kind, "value": value})
	}
	return matches, nil
}

func noRule(route *unstructured.Unstructured, stable, canary string) error {
	return fmt.Errorf("HTTPRoute %s/%s has no rule with both backends %s and %s",
		route.GetNamespace(), route.GetName(), stable, canary)
}

// summary says where the requests of each rule go: "stable 90, canary 10; b: canary 1".
func summary(route *unstructured.Unstructured) string {
	rules, _, _ := unstructured.NestedSlice(route.Object, "spec", "rules")
	said := []string{}
	for _, rule := range rules {
		shares := []string{}
		backends, _ := rule.(object)["backendRefs"].([]any)
		for _, reference := range backends {
			to := reference.(object)
			shares = append(shares, fmt.Sprintf("%v %v", to["name"], to["weight"]))
		}
		line := strings.Join(shares, ", ")
		if name, ok := rule.(object)["name"].(string); ok {
			line = name + ": " + line
		}
		said = append(said, line)
	}
	return strings.Join(said, "; ")
}
