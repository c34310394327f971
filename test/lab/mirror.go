package lab

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// sources is where packages come from.
type sources struct {
	archive  string // URI of the Debian archive
	security string // URI of its security archive
}

// errNoArchive means that apt's sources on this machine lead to no packages for
// the lab's hosts.
var errNoArchive = errors.New("find package source: apt's sources on this machine name no archive of Debian")

// aptEntry is one source of packages: the part that matters here.
type aptEntry struct {
	uris       []string
	suites     []string
	components []string
}

// machineSources takes the mirrors from this machine's own apt sources, since
// it may reach no other.
func machineSources() (sources, error) {
	var entries []aptEntry
	for _, pattern := range []string{"/etc/apt/sources.list", "/etc/apt/sources.list.d/*"} {
		paths, _ := filepath.Glob(pattern) // the patterns are well-formed
		for _, path := range paths {
			text, err := os.ReadFile(path)
			if err != nil {
				continue
			}
			switch filepath.Ext(path) {
			case ".list":
				entries = append(entries, parseList(string(text))...)
			case ".sources":
				entries = append(entries, parseDeb822(string(text))...)
			}
		}
	}
	found := chooseSources(entries)
	if found.archive == "" {
		return found, errNoArchive
	}
	return found, nil
}

// chooseSources picks the archive and the security archive by their suites:
// one name of a Debian release each, the latter ending in -security. Where the
// latter is not named it stands beside the former, as on Debian's own mirrors.
func chooseSources(entries []aptEntry) sources {
	var found sources
	for _, e := range entries {
		if !slices.Contains(e.components, "main") || len(e.uris) == 0 || !strings.HasPrefix(e.uris[0], "http") {
			continue
		}
		uri := strings.TrimSuffix(e.uris[0], "/")
		for _, suite := range e.suites {
			release, isSecurity := strings.CutSuffix(suite, "-security")
			if !slices.Contains([]string{"bookworm", "trixie", "stable", "oldstable"}, release) {
				continue
			}
			if isSecurity && found.security == "" {
				found.security = uri
			} else if !isSecurity && found.archive == "" {
				found.archive = uri
			}
		}
	}
	if found.archive != "" && found.security == "" {
		found.security = found.archive + "-security"
	}
	return found
}

// parseList reads the one-line form: deb [options] URI SUITE COMPONENT...
func parseList(text string) []aptEntry {
	var entries []aptEntry
	for line := range strings.Lines(text) {
		line, _, _ = strings.Cut(line, "#")
		f := strings.Fields(line)
		if len(f) == 0 || f[0] != "deb" {
			continue
		}
		f = f[1:]
		if len(f) > 0 && strings.HasPrefix(f[0], "[") {
			end := slices.IndexFunc(f, func(s string) bool { return strings.HasSuffix(s, "]") })
			f = f[end+1:]
		}
		if len(f) >= 3 {
			entries = append(entries, aptEntry{f[:1], f[1:2], f[2:]})
		}
	}
	return entries
}

// parseDeb822 reads the form of stanzas with fields; a line that begins with
// a blank continues the field before it.
func parseDeb822(text string) []aptEntry {
	var entries []aptEntry
	fields := map[string]string{}
	end := func() {
		enabled := !strings.EqualFold(strings.TrimSpace(fields["enabled"]), "no")
		if enabled && slices.Contains(strings.Fields(fields["types"]), "deb") {
			entries = append(entries, aptEntry{
				strings.Fields(fields["uris"]), strings.Fields(fields["suites"]), strings.Fields(fields["components"]),
			})
		}
		fields = map[string]string{}
	}
	last := ""
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\r\n")
		switch {
		case strings.HasPrefix(line, "#"):
		case strings.TrimSpace(line) == "":
			end()
		case line[0] == ' ' || line[0] == '\t':
			fields[last] += " " + line
		default:
			name, value, _ := strings.Cut(line, ":")
			last = strings.ToLower(strings.TrimSpace(name))
			fields[last] = value
		}
	}
	end()
	return entries
}

// machineAptConfig is the part of this machine's apt configuration that says
// how to reach the mirrors: proxies, and checks that a frozen mirror fails.
func machineAptConfig(ctx context.Context) string {
	dump, err := run(ctx, "apt-config", "dump")
	if err != nil {
		return ""
	}
	var b strings.Builder
	for line := range strings.Lines(dump) {
		for _, prefix := range []string{"Acquire::http", "Acquire::https", "Acquire::Check-", "Acquire::Retries"} {
			if strings.HasPrefix(line, prefix) && !strings.Contains(line, " \"\";") {
				b.WriteString(line)
			}
		}
	}
	for _, name := range []string{"http_proxy", "https_proxy"} {
		if proxy := os.Getenv(name); proxy != "" && !strings.ContainsAny(proxy, "\"\n") {
			b.WriteString("Acquire::" + strings.TrimSuffix(name, "_proxy") + `::Proxy "` + proxy + "\";\n")
		}
	}
	return b.String()
}
