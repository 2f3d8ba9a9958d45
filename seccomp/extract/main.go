// Extract writes the data of RuntimeDefault: what each release of each runtime allows, read from its
// own source.
//
//	extract [-data FOLDER] [-import FOLDER] [-compare FOLDER] [RUNTIME/VERSION...]
//
// Without a version it looks for all that the module proxy lists and the data does not have. What was
// extracted once is not looked at again. -import takes rule sets over from JSON files of an earlier
// extraction, for releases whose sources are not served; -compare holds what is there against such
// files and changes nothing.
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

func main() {
	data := flag.String("data", "seccomp/data", "the `folder` of the data")
	imported := flag.String("import", "", "take rule sets over from this `folder`")
	compared := flag.String("compare", "", "compare with the rule sets in this `folder`")
	flag.Parse()
	if err := run(*data, *imported, *compared, flag.Args()); err != nil {
		fmt.Fprintln(os.Stderr, "extract:", err)
		os.Exit(1)
	}
}

func run(data, imported, compared string, wanted []string) error {
	work, err := os.MkdirTemp("", "podfence-extract-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(work)
	if err := os.WriteFile(filepath.Join(work, "go.mod"), []byte("module work\n\ngo 1.26\n"), 0o644); err != nil {
		return err
	}
	for _, source := range sources {
		path := filepath.Join(data, source.name+".rules")
		known, err := readHistory(source.name, path)
		if err != nil {
			return err
		}
		if compared != "" {
			if err := compare(source.name, known, compared); err != nil {
				return err
			}
			continue
		}
		if imported != "" {
			sets, err := readEarlier(imported, earlierName(source.name))
			if err != nil {
				return err
			}
			for version, set := range sets {
				known.note(version, set, false)
			}
		}
		// What was extracted before something failed is worth keeping.
		failed := source.update(work, known, wanted)
		if err := errors.Join(failed, known.write(path)); err != nil {
			return err
		}
	}
	return nil
}

// update extracts what is missing.
func (s source) update(work string, known *history, wanted []string) error {
	versions := []string{}
	for _, word := range wanted {
		if runtime, version, found := strings.Cut(word, "/"); found && runtime == s.name {
			versions = append(versions, version)
		}
	}
	if len(wanted) == 0 {
		for _, module := range s.modules {
			versions = append(versions, served(work, module)...)
		}
		for version, release := range known.releases {
			if !release.extracted {
				versions = append(versions, version)
			}
		}
	}
	slices.SortFunc(versions, compareVersions)
	for _, version := range slices.Compact(versions) {
		if known.releases[version].extracted || compareVersions(version, s.oldest()) < 0 {
			continue
		}
		set, err := s.extract(work, version)
		if absent := (errNotServed{}); errors.As(err, &absent) {
			fmt.Fprintf(os.Stderr, "%s %s: %v\n", s.name, version, err)
			continue
		}
		if err != nil {
			return fmt.Errorf("%s %s: %w", s.name, version, err)
		}
		known.note(version, set, true)
		fmt.Fprintf(os.Stderr, "%s %s: %.12s\n", s.name, version, set.hash())
	}
	return nil
}

// oldest is the first release that this program knows how to read.
func (s source) oldest() string {
	return map[string]string{"containerd": "1.4.0", "cri-o": "1.22.0", "docker": "20.10.0"}[s.name]
}

func earlierName(runtime string) string {
	if runtime == "docker" {
		return "moby"
	}
	return runtime
}

// compare counts releases that are equal to an earlier extraction and says how the others differ.
func compare(runtime string, known *history, folder string) error {
	sets, err := readEarlier(folder, earlierName(runtime))
	if err != nil {
		return err
	}
	equal, different, only := 0, 0, 0
	for _, version := range slices.SortedFunc(mapKeys(known.releases), compareVersions) {
		release := known.releases[version]
		earlier, exists := sets[version]
		switch {
		case !release.extracted:
		case !exists:
			only++
		default:
			lines := differ(earlier, known.sets[release.hash])
			if len(lines) == 0 {
				equal++
				continue
			}
			different++
			fmt.Printf("%s %s:\n", runtime, version)
			for _, line := range lines {
				fmt.Println("  " + line)
			}
		}
	}
	fmt.Printf("%s: %d releases extracted and equal, %d different, %d not in %s\n", runtime, equal, different, only, folder)
	return nil
}
