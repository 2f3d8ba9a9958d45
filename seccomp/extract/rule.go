package main

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// A ruleSet is what a release does, for every container: the lines of the data, in their order.
type ruleSet struct {
	// Errno of everything that no rule names.
	defaultErrno string
	// ABIs of the filter, by architecture of the node. None is the node's own one alone.
	abis map[string][]string
	// By name of the call; the order within a name is that of the profile and counts.
	rules map[string][]string
}

func newRuleSet(defaultErrno string) *ruleSet {
	return &ruleSet{defaultErrno: defaultErrno, abis: map[string][]string{}, rules: map[string][]string{}}
}

// A rule as a profile says it, of one call.
type rule struct {
	action  string // allow, or the name of an errno
	args    []arg
	with    []string // capabilities, without CAP_
	without []string
	on      []string // GOARCH
	notOn   []string
	kernel  string
}

type arg struct {
	index    uint
	op       string
	value    uint64
	valueTwo uint64
}

// line writes the rule as the data has it; ../README.md says the grammar.
func (r rule) line(name string) string {
	words := []string{r.action, name}
	for _, a := range r.args {
		words = append(words, a.String())
	}
	list := func(word string, names []string) {
		if len(names) > 0 {
			names = slices.Clone(names)
			slices.Sort(names)
			words = append(words, word, strings.Join(slices.Compact(names), ","))
		}
	}
	list("with", r.with)
	list("without", r.without)
	list("on", r.on)
	list("not-on", r.notOn)
	if r.kernel != "" {
		words = append(words, "kernel", r.kernel)
	}
	return strings.Join(words, " ")
}

func (a arg) String() string {
	operators := map[string]string{
		"SCMP_CMP_NE": "!=", "SCMP_CMP_LT": "<", "SCMP_CMP_LE": "<=",
		"SCMP_CMP_EQ": "==", "SCMP_CMP_GE": ">=", "SCMP_CMP_GT": ">",
	}
	if a.op == "SCMP_CMP_MASKED_EQ" {
		return fmt.Sprintf("arg%d&%s==%s", a.index, number(a.value), number(a.valueTwo))
	}
	operator, known := operators[a.op]
	if !known {
		panic("unknown operator " + a.op)
	}
	return fmt.Sprintf("arg%d%s%s", a.index, operator, number(a.value))
}

// number writes small numbers as people say them and flags as bits.
func number(n uint64) string {
	if n < 1000 {
		return strconv.FormatUint(n, 10)
	}
	return fmt.Sprintf("%#x", n)
}

// setRules notes the rules of a call, in an order that depends on nothing but what they do.
func (s *ruleSet) setRules(name string, rules []rule) {
	left := []rule{}
	for _, r := range rules {
		left = mergeArchitectures(left, r, name)
	}
	lines := []string{}
	for len(left) > 0 {
		// The first by name of those that no rule before them stands against.
		best := -1
		for at, r := range left {
			free := !slices.ContainsFunc(left[:at], func(earlier rule) bool { return earlier.contests(r) })
			if free && (best < 0 || r.line(name) < left[best].line(name)) {
				best = at
			}
		}
		lines = append(lines, left[best].line(name))
		left = slices.Delete(left, best, best+1)
	}
	s.rules[name] = slices.Compact(lines)
}

// mergeArchitectures adds a rule; to one that is the same on other architectures only.
func mergeArchitectures(rules []rule, r rule, name string) []rule {
	anywhere := func(r rule) string {
		r.on = nil
		return r.line(name)
	}
	for at, known := range rules {
		if len(known.on) > 0 && len(r.on) > 0 && anywhere(known) == anywhere(r) {
			rules[at].on = append(slices.Clone(known.on), r.on...)
			return rules
		}
	}
	return append(rules, r)
}

// contests says whether the order of two rules may count: they do different things, and there are
// containers for which both are there.
func (r rule) contests(other rule) bool {
	common := func(a, b []string) bool {
		return slices.ContainsFunc(a, func(name string) bool { return slices.Contains(b, name) })
	}
	within := func(a, b []string) bool {
		return len(a) > 0 && !slices.ContainsFunc(a, func(name string) bool { return !slices.Contains(b, name) })
	}
	switch {
	case r.action == other.action:
		return false
	case common(r.with, other.without) || common(r.without, other.with):
		return false
	case len(r.on) > 0 && len(other.on) > 0 && !common(r.on, other.on):
		return false
	case within(r.on, other.notOn) || within(other.on, r.notOn):
		return false
	}
	return true
}

// lines are all of the set, in the one order that they are hashed and written in.
func (s *ruleSet) lines() []string {
	lines := []string{"default " + s.defaultErrno}
	for _, architecture := range sorted(s.abis) {
		lines = append(lines, "abis "+architecture+" "+strings.Join(s.abis[architecture], " "))
	}
	for _, name := range sorted(s.rules) {
		lines = append(lines, s.rules[name]...)
	}
	return lines
}

// hash names the set: SHA-256 of its lines, each ended by a newline.
func (s *ruleSet) hash() string {
	sum := sha256.Sum256([]byte(strings.Join(s.lines(), "\n") + "\n"))
	return hex.EncodeToString(sum[:])
}

// setABIs notes the ABIs of an architecture, its own first.
func (s *ruleSet) setABIs(architecture string, names []string) {
	abis := []string{}
	for _, name := range names {
		abi := strings.ToLower(strings.TrimPrefix(name, "SCMP_ARCH_"))
		abis = append(abis, abi)
	}
	own := nativeABI[architecture]
	slices.SortFunc(abis, func(a, b string) int {
		switch {
		case a == b:
			return 0
		case a == own:
			return -1
		case b == own:
			return 1
		}
		return strings.Compare(a, b)
	})
	if len(abis) > 0 {
		s.abis[architecture] = slices.Compact(abis)
	}
}

// nativeABI is libseccomp's name for what programs of an architecture use, by GOARCH. These are all
// architectures that the runtimes can be compiled for.
var nativeABI = map[string]string{
	"386": "x86", "amd64": "x86_64", "arm": "arm", "arm64": "aarch64", "loong64": "loongarch64",
	"mips": "mips", "mips64": "mips64", "mips64le": "mipsel64", "mipsle": "mipsel", "ppc64": "ppc64",
	"ppc64le": "ppc64le", "riscv64": "riscv64", "s390x": "s390x",
}

// goArchitecture is the GOARCH of an architecture as libseccomp names it.
func goArchitecture(abi string) (string, bool) {
	// Profiles in JSON say amd64, and those that are made by code say everything as Go does.
	if _, is := nativeABI[abi]; is {
		return abi, true
	}
	for architecture, native := range nativeABI {
		if native == abi {
			return architecture, true
		}
	}
	return "", false
}

func sorted[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for key := range m {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	return keys
}

// errnoName is how the data writes an error number.
func errnoName(number uint) string {
	switch number {
	case 1:
		return "EPERM"
	case 22:
		return "EINVAL"
	case 38:
		return "ENOSYS"
	}
	return strconv.FormatUint(uint64(number), 10)
}
