// Command pod-security judges pods by the Pod Security Standards as the API server does.
//
// It reads one JSON object per line, {"level", "version", "pod"}, and writes for each a line that
// maps the id of every check of that level and version to whether the pod keeps it.
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"reflect"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/pod-security-admission/api"
	"k8s.io/pod-security-admission/policy"
)

type question struct {
	Level   api.Level  `json:"level"`
	Version string     `json:"version"`
	Pod     corev1.Pod `json:"pod"`
}

func main() {
	if err := answer(os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "pod-security:", err)
		os.Exit(2)
	}
}

func answer(in io.Reader, out io.Writer) error {
	evaluator, err := policy.NewEvaluator(policy.DefaultChecks(), nil)
	if err != nil {
		return err
	}
	questions, answers := json.NewDecoder(in), json.NewEncoder(out)
	for number := 1; ; number++ {
		var asked question
		if err := questions.Decode(&asked); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return fmt.Errorf("question %d: %w", number, err)
		}
		version, err := api.ParseVersion(asked.Version)
		if err != nil {
			return fmt.Errorf("question %d: %w", number, err)
		}
		where := api.LevelVersion{Level: asked.Level, Version: version}
		setDefaults(&asked.Pod.Spec)
		verdicts := judge(where, &asked.Pod.ObjectMeta, &asked.Pod.Spec)
		whole := policy.AggregateCheckResults(
			evaluator.EvaluatePod(where, &asked.Pod.ObjectMeta, &asked.Pod.Spec))
		if whole.Allowed != all(verdicts) {
			return fmt.Errorf("question %d: the checks say %v, the evaluator says %q",
				number, verdicts, whole.ForbiddenDetail())
		}
		if err := answers.Encode(verdicts); err != nil {
			return err
		}
	}
}

// setDefaults does what the API server does to a pod before it is admitted.
func setDefaults(spec *corev1.PodSpec) {
	for i := range spec.Volumes {
		if reflect.ValueOf(spec.Volumes[i].VolumeSource).IsZero() {
			spec.Volumes[i].EmptyDir = &corev1.EmptyDirVolumeSource{}
		}
	}
}

// judge runs each check by itself: the evaluator does not say which check gave which result.
func judge(
	where api.LevelVersion, metadata *metav1.ObjectMeta, spec *corev1.PodSpec,
) map[policy.CheckID]bool {
	verdicts := map[policy.CheckID]bool{}
	overridden := []policy.CheckID{}
	for _, check := range policy.DefaultChecks() {
		revision := inForce(check, where.Version)
		if revision == nil || check.Level == api.LevelRestricted && where.Level != check.Level {
			continue
		}
		verdicts[check.ID] = revision.CheckPod(metadata, spec).Allowed
		overridden = append(overridden, revision.OverrideCheckIDs...)
	}
	for _, id := range overridden {
		delete(verdicts, id)
	}
	return verdicts
}

func inForce(check policy.Check, version api.Version) *policy.VersionedCheck {
	var found *policy.VersionedCheck
	for i := range check.Versions {
		if !version.Older(check.Versions[i].MinimumVersion) {
			found = &check.Versions[i]
		}
	}
	return found
}

func all(verdicts map[policy.CheckID]bool) bool {
	for _, kept := range verdicts {
		if !kept {
			return false
		}
	}
	return true
}
