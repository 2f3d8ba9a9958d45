// The oracle answers what Kubernetes' own Pod Security library says of the pods that it is given.
//
//	oracle evaluate -versions v1.0,latest [-emulate v1.33]   pods on stdin, one JSON object a line
//	oracle policy                                            label maps on stdin, one a line
//	oracle warnings -policy restricted:latest                lists of pods on stdin, one a line
//	oracle bench -seconds 2                                  pods on stdin, figures on stdout
//
// Each line of input is answered by one line of JSON on stdout, at once.
package main

import (
	"bufio"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/pod-security-admission/api"
	"k8s.io/pod-security-admission/policy"
	kjson "sigs.k8s.io/json"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "oracle:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) == 0 {
		return fmt.Errorf("no mode; one of evaluate, policy, warnings, bench")
	}
	flags := flag.NewFlagSet(args[0], flag.ContinueOnError)
	versions := flags.String("versions", "latest", "policy versions, with commas")
	emulate := flags.String("emulate", "", "the version that the server emulates")
	enforce := flags.String("policy", "restricted:latest", "level and version that is enforced")
	seconds := flags.Float64("seconds", 1, "how long each measurement takes at least")
	if err := flags.Parse(args[1:]); err != nil {
		return err
	}
	evaluator, err := newEvaluator(*emulate)
	if err != nil {
		return err
	}
	switch args[0] {
	case "evaluate":
		parsed, err := parseVersions(*versions)
		if err != nil {
			return err
		}
		return answerLines(func(line []byte) (any, error) {
			pod, err := decodePod(line)
			if err != nil {
				return nil, err
			}
			return evaluate(evaluator, parsed, pod), nil
		})
	case "policy":
		return answerLines(resolveLabels)
	case "warnings":
		parsed, err := parseLevelVersion(*enforce)
		if err != nil {
			return err
		}
		return answerLines(func(line []byte) (any, error) {
			return existingPodsWarnings(evaluator, parsed, line)
		})
	case "bench":
		return bench(evaluator, *seconds)
	default:
		return fmt.Errorf("unknown mode %q", args[0])
	}
}

func newEvaluator(emulate string) (policy.Evaluator, error) {
	if emulate == "" {
		return policy.NewEvaluator(policy.DefaultChecks(), nil)
	}
	version, err := api.ParseVersion(emulate)
	if err != nil {
		return nil, err
	}
	return policy.NewEvaluator(policy.DefaultChecks(), &version)
}

func parseVersions(list string) ([]api.Version, error) {
	var versions []api.Version
	for _, text := range strings.Split(list, ",") {
		version, err := api.ParseVersion(text)
		if err != nil {
			return nil, fmt.Errorf("version %q: %w", text, err)
		}
		versions = append(versions, version)
	}
	return versions, nil
}

func parseLevelVersion(text string) (api.LevelVersion, error) {
	level, version, _ := strings.Cut(text, ":")
	parsedLevel, err := api.ParseLevel(level)
	if err != nil {
		return api.LevelVersion{}, err
	}
	parsedVersion, err := api.ParseVersion(version)
	return api.LevelVersion{Level: parsedLevel, Version: parsedVersion}, err
}

// decodePod decodes as an API server does: names of fields are case-sensitive.
func decodePod(line []byte) (*corev1.Pod, error) {
	pod := &corev1.Pod{}
	return pod, kjson.UnmarshalCaseSensitivePreserveInts(line, pod)
}

// change is a text that holds from one of the versions asked for until the next change.
type change struct {
	Version string `json:"version"`
	Text    string `json:"text"`
}

// evaluate returns what each level says of the pod, empty where it allows it.
func evaluate(evaluator policy.Evaluator, versions []api.Version, pod *corev1.Pod) map[api.Level][]change {
	answer := map[api.Level][]change{}
	for _, level := range []api.Level{api.LevelPrivileged, api.LevelBaseline, api.LevelRestricted} {
		changes := []change{}
		for _, version := range versions {
			policyVersion := api.LevelVersion{Level: level, Version: version}
			results := evaluator.EvaluatePod(policyVersion, &pod.ObjectMeta, &pod.Spec)
			text := ""
			if result := policy.AggregateCheckResults(results); !result.Allowed {
				text = result.ForbiddenDetail()
			}
			if len(changes) == 0 || changes[len(changes)-1].Text != text {
				changes = append(changes, change{Version: version.String(), Text: text})
			}
		}
		answer[level] = changes
	}
	return answer
}

// resolveLabels returns the policy of a namespace, and what is wrong with its labels.
func resolveLabels(line []byte) (any, error) {
	var input struct {
		Labels   map[string]string `json:"labels"`
		Defaults [3]string         `json:"defaults"`
	}
	if err := json.Unmarshal(line, &input); err != nil {
		return nil, err
	}
	var modes [3]api.LevelVersion
	for i, text := range input.Defaults {
		mode, err := parseLevelVersion(text)
		if err != nil {
			return nil, err
		}
		modes[i] = mode
	}
	defaults := api.Policy{Enforce: modes[0], Audit: modes[1], Warn: modes[2]}
	resolved, errs := api.PolicyToEvaluate(input.Labels, defaults)
	messages := []string{}
	for _, err := range errs {
		messages = append(messages, err.Error())
	}
	return map[string]any{
		"policy": []string{resolved.Enforce.String(), resolved.Audit.String(), resolved.Warn.String()},
		"errors": messages,
	}, nil
}

// answerLines answers each line of stdin, and lets an answer out before it waits for the next.
func answerLines(answer func([]byte) (any, error)) error {
	input := bufio.NewReaderSize(os.Stdin, 1<<20)
	output := bufio.NewWriterSize(os.Stdout, 1<<20)
	encoder := json.NewEncoder(output)
	encoder.SetEscapeHTML(false)
	for {
		line, err := input.ReadBytes('\n')
		if err == io.EOF && len(line) == 0 {
			return output.Flush()
		}
		if err != nil {
			return fmt.Errorf("failed to read a line: %w", err)
		}
		value, err := answer(line)
		if err != nil {
			value = map[string]string{"error": err.Error()}
		}
		if err := encoder.Encode(value); err != nil {
			return err
		}
		if input.Buffered() == 0 {
			if err := output.Flush(); err != nil {
				return err
			}
		}
	}
}
