package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"os"
	"path/filepath"
)

var found = map[string]*ruleSet{}

// once runs a transplant once for each content of its source: most releases do not change it.
func once(work string, text []byte, run func(target string) (*ruleSet, error)) (*ruleSet, error) {
	sum := sha256.Sum256(text)
	name := hex.EncodeToString(sum[:8])
	if set, exists := found[name]; exists {
		return set, nil
	}
	target := filepath.Join(work, name)
	if err := os.MkdirAll(filepath.Join(target, "profile"), 0o755); err != nil {
		return nil, err
	}
	if err := os.WriteFile(filepath.Join(target, "profile/profile.go"), text, 0o644); err != nil {
		return nil, err
	}
	set, err := run(target)
	if err == nil {
		found[name] = set
	}
	return set, err
}

// withoutTypes is a file up to its first type: what is left of crio's file after its methods are gone
// are types that need packages which the profile does not.
func withoutTypes(text []byte) []byte {
	if at := bytes.Index(text, []byte("\ntype ")); at >= 0 {
		rest := text[at:]
		if end := bytes.Index(rest, []byte("\n}\n")); end >= 0 {
			return withoutTypes(append(bytes.Clone(text[:at]), rest[end+2:]...))
		}
	}
	return []byte(withoutUnusedImports(string(text)))
}
