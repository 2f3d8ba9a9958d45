package main

import (
	"context"
	"encoding/json"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/pod-security-admission/admission"
	admissionapi "k8s.io/pod-security-admission/admission/api"
	"k8s.io/pod-security-admission/api"
	"k8s.io/pod-security-admission/metrics"
	"k8s.io/pod-security-admission/policy"
)

// existingPodsWarnings returns the warnings of a namespace that comes to enforce a policy.
func existingPodsWarnings(evaluator policy.Evaluator, enforce api.LevelVersion, line []byte) (any, error) {
	var input struct {
		Namespace string            `json:"namespace"`
		Pods      []json.RawMessage `json:"pods"`
	}
	if err := json.Unmarshal(line, &input); err != nil {
		return nil, err
	}
	pods := fixedPods{}
	for _, raw := range input.Pods {
		pod, err := decodePod(raw)
		if err != nil {
			return nil, err
		}
		pods = append(pods, pod)
	}
	controller := &admission.Admission{
		Configuration:    &admissionapi.PodSecurityConfiguration{Defaults: privilegedDefaults()},
		Evaluator:        evaluator,
		Metrics:          metrics.NewPrometheusRecorder(api.GetAPIVersion()),
		PodSpecExtractor: admission.DefaultPodSpecExtractor{},
		PodLister:        pods,
		NamespaceGetter:  noNamespaces{},
	}
	if err := controller.CompleteConfiguration(); err != nil {
		return nil, err
	}
	warnings := controller.EvaluatePodsInNamespace(context.Background(), input.Namespace, enforce)
	if warnings == nil {
		warnings = []string{}
	}
	return warnings, nil
}

func privilegedDefaults() admissionapi.PodSecurityDefaults {
	return admissionapi.PodSecurityDefaults{
		Enforce: "privileged", EnforceVersion: "latest",
		Audit: "privileged", AuditVersion: "latest",
		Warn: "privileged", WarnVersion: "latest",
	}
}

type fixedPods []*corev1.Pod

func (pods fixedPods) ListPods(context.Context, string) ([]*corev1.Pod, error) { return pods, nil }

type noNamespaces struct{}

func (noNamespaces) GetNamespace(context.Context, string) (*corev1.Namespace, error) {
	return &corev1.Namespace{}, nil
}
