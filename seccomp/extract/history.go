package main

import (
	"cmp"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
)

// A history is every release of one runtime and what it does: one file of the data.
type history struct {
	// The file's opening comment.
	comment []string
	sets    map[string]*ruleSet // by hash
	// What is known of each release.
	releases map[string]release
}

type release struct {
	hash string
	// Read from the release's own source by this program; otherwise taken over from an earlier
	// extraction and not checked again.
	extracted bool
}

func newHistory(runtime string) *history {
	return &history{
		comment: []string{
			"# RuntimeDefault of " + runtime + ", by release. Written by seccomp/extract (make profiles); the grammar is",
			"# in seccomp/README.md. Every set but the first is said as what differs from another one.",
		},
		sets:     map[string]*ruleSet{},
		releases: map[string]release{},
	}
}

// note takes in what a release does. What was extracted is never replaced by what was imported.
func (h *history) note(version string, set *ruleSet, extracted bool) {
	if known, exists := h.releases[version]; exists && known.extracted && !extracted {
		return
	}
	hash := set.hash()
	h.sets[hash] = set
	h.releases[version] = release{hash, extracted}
}

// write writes the file anew: the sets by their first release, each as the smallest difference from
// one before it.
func (h *history) write(path string) error {
	versions := map[string][]string{}
	for _, version := range slices.SortedFunc(mapKeys(h.releases), compareVersions) {
		hash := h.releases[version].hash
		versions[hash] = append(versions[hash], version)
	}
	hashes := slices.SortedFunc(mapKeys(versions), func(a, b string) int {
		return compareVersions(versions[a][0], versions[b][0])
	})
	var text strings.Builder
	for _, line := range h.comment {
		fmt.Fprintln(&text, line)
	}
	for at, hash := range hashes {
		fmt.Fprintf(&text, "\nrules %s\n", hash)
		list := func(word string, extracted bool) {
			names := []string{}
			for _, version := range versions[hash] {
				if h.releases[version].extracted == extracted {
					names = append(names, version)
				}
			}
			if len(names) > 0 {
				fmt.Fprintf(&text, "%s %s\n", word, strings.Join(names, " "))
			}
		}
		list("extracted", true)
		list("imported", false)
		best, difference := "", []string(nil)
		for _, earlier := range hashes[:at] {
			lines := differ(h.sets[earlier], h.sets[hash])
			if best == "" || len(lines) <= len(difference) {
				best, difference = earlier, lines
			}
		}
		if best == "" {
			for _, line := range h.sets[hash].lines() {
				fmt.Fprintf(&text, "+ %s\n", line)
			}
			continue
		}
		fmt.Fprintf(&text, "from %s\n", best)
		for _, line := range difference {
			fmt.Fprintln(&text, line)
		}
	}
	return os.WriteFile(path, []byte(text.String()), 0o644)
}

// differ says what has to be taken away from a set and added to it. All lines of a call that differ
// are said, because their order counts.
func differ(from, to *ruleSet) []string {
	subjects := map[string][2][]string{}
	for side, set := range []*ruleSet{from, to} {
		for _, line := range set.lines() {
			pair := subjects[subject(line)]
			pair[side] = append(pair[side], line)
			subjects[subject(line)] = pair
		}
	}
	lines := []string{}
	for _, name := range sorted(subjects) {
		pair := subjects[name]
		if slices.Equal(pair[0], pair[1]) {
			continue
		}
		for _, line := range pair[0] {
			lines = append(lines, "- "+line)
		}
		for _, line := range pair[1] {
			lines = append(lines, "+ "+line)
		}
	}
	return lines
}

// subject is what a line is about: the default, an architecture's ABIs, or a call.
func subject(line string) string {
	words := strings.Fields(line)
	switch words[0] {
	case "default":
		return " default"
	case "abis":
		return " abis " + words[1]
	}
	return words[1]
}

// readHistory reads what write wrote; a file that is not there is an empty history.
func readHistory(runtime, path string) (*history, error) {
	h := newHistory(runtime)
	text, err := os.ReadFile(path)
	if os.IsNotExist(err) {
		return h, nil
	}
	if err != nil {
		return nil, err
	}
	subjects := map[string]map[string][]string{}
	hash := ""
	finish := func() error {
		if hash == "" {
			return nil
		}
		set, err := assemble(subjects[hash])
		if err != nil {
			return err
		}
		if got := set.hash(); got != hash {
			return fmt.Errorf("the lines of rules %s have the hash %s", hash, got)
		}
		h.sets[hash] = set
		return nil
	}
	for at, line := range strings.Split(string(text), "\n") {
		word, rest, _ := strings.Cut(line, " ")
		switch {
		case line == "" || strings.HasPrefix(line, "#"):
		case word == "rules":
			if err := finish(); err != nil {
				return nil, err
			}
			hash = rest
			subjects[hash] = map[string][]string{}
		case word == "extracted" || word == "imported":
			for _, version := range strings.Fields(rest) {
				h.releases[version] = release{hash, word == "extracted"}
			}
		case word == "from":
			for name, lines := range subjects[rest] {
				subjects[hash][name] = slices.Clone(lines)
			}
		case word == "-":
			lines := subjects[hash][subject(rest)]
			found := slices.Index(lines, rest)
			if found < 0 {
				return nil, fmt.Errorf("%s:%d takes away what is not there", path, at+1)
			}
			subjects[hash][subject(rest)] = slices.Delete(slices.Clone(lines), found, found+1)
		case word == "+":
			subjects[hash][subject(rest)] = append(slices.Clone(subjects[hash][subject(rest)]), rest)
		default:
			return nil, fmt.Errorf("%s:%d begins with %q", path, at+1, word)
		}
	}
	return h, finish()
}

func assemble(subjects map[string][]string) (*ruleSet, error) {
	set := newRuleSet("")
	for _, name := range sorted(subjects) {
		for _, line := range subjects[name] {
			words := strings.Fields(line)
			switch words[0] {
			case "default":
				set.defaultErrno = words[1]
			case "abis":
				set.abis[words[1]] = words[2:]
			default:
				set.rules[words[1]] = append(set.rules[words[1]], line)
			}
		}
	}
	if set.defaultErrno == "" {
		return nil, fmt.Errorf("a set without a default")
	}
	return set, nil
}

// compareVersions orders by the numbers in two versions.
func compareVersions(a, b string) int {
	numbers := func(version string) []int {
		all := []int{}
		for word := range strings.SplitSeq(version, ".") {
			n, err := strconv.Atoi(word)
			if err != nil {
				n = 0
			}
			all = append(all, n)
		}
		return all
	}
	return cmp.Or(slices.Compare(numbers(a), numbers(b)), strings.Compare(a, b))
}

func mapKeys[V any](m map[string]V) func(func(string) bool) {
	return func(yield func(string) bool) {
		for key := range m {
			if !yield(key) {
				return
			}
		}
	}
}
