package main

import (
	"bufio"
	"encoding/json"
	"io"
	"os"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/pod-security-admission/api"
	"k8s.io/pod-security-admission/policy"
)

// sink keeps the compiler from leaving out what is measured.
var sink int

// bench measures the library on the pods of stdin and prints nanoseconds per pod.
func bench(evaluator policy.Evaluator, seconds float64) error {
	lines, pods, err := readPods(os.Stdin)
	if err != nil {
		return err
	}
	restricted := api.LevelVersion{Level: api.LevelRestricted, Version: api.LatestVersion()}
	judge := func(pod *corev1.Pod) policy.AggregateCheckResult {
		return policy.AggregateCheckResults(evaluator.EvaluatePod(restricted, &pod.ObjectMeta, &pod.Spec))
	}
	violating := 0
	for _, pod := range pods {
		if !judge(pod).Allowed {
			violating++
		}
	}
	figures := map[string]float64{
		"violating": float64(violating),
		"evaluate": measure(seconds, len(pods), func(i int) {
			if judge(pods[i]).Allowed {
				sink++
			}
		}),
		"evaluateWithText": measure(seconds, len(pods), func(i int) {
			result := judge(pods[i])
			sink += len(result.ForbiddenDetail())
		}),
		"fromJSON": measure(seconds, len(pods), func(i int) {
			pod, err := decodePod(lines[i])
			if err == nil && judge(pod).Allowed {
				sink++
			}
		}),
		// What a program without the API server's decoder would use; field names then match in
		// any case, which is a little slower.
		"fromJSONWithEncodingJSON": measure(seconds, len(pods), func(i int) {
			pod := &corev1.Pod{}
			if json.Unmarshal(lines[i], pod) == nil && judge(pod).Allowed {
				sink++
			}
		}),
	}
	return json.NewEncoder(os.Stdout).Encode(figures)
}

func readPods(from io.Reader) ([][]byte, []*corev1.Pod, error) {
	var lines [][]byte
	var pods []*corev1.Pod
	input := bufio.NewReaderSize(from, 1<<20)
	for {
		line, err := input.ReadBytes('\n')
		if err == io.EOF {
			return lines, pods, nil
		}
		if err != nil {
			return nil, nil, err
		}
		pod, err := decodePod(line)
		if err != nil {
			return nil, nil, err
		}
		lines, pods = append(lines, line), append(pods, pod)
	}
}

// slice is how many pods are timed at once: few, so that many a run is not interrupted.
const slice = 20

// measure runs over all pods, again and again, and returns the nanoseconds per pod. Of each slice
// of the pods the fastest run counts: the one that no other program and no collection disturbed.
func measure(seconds float64, pods int, one func(int)) float64 {
	fastest := make([]time.Duration, (pods+slice-1)/slice)
	for i := range fastest {
		fastest[i] = time.Duration(1<<63 - 1)
	}
	for start := time.Now(); time.Since(start).Seconds() < seconds; {
		for i := range fastest {
			before := time.Now()
			for pod := i * slice; pod < min(pods, (i+1)*slice); pod++ {
				one(pod)
			}
			fastest[i] = min(fastest[i], time.Since(before))
		}
	}
	total := time.Duration(0)
	for _, duration := range fastest {
		total += duration
	}
	return float64(total.Nanoseconds()) / float64(pods)
}
