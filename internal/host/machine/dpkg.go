package machine

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// DpkgStatus is what dpkg knows of the machine's packages.
type DpkgStatus struct {
	Versions  map[string]string // of installed packages, by name
	Half      map[string]string // what is wrong with packages that are half installed, by name
	Conffiles map[string]string // MD5 of a package's default, by path
}

// Dpkg asks dpkg for all packages at once: that is as quick as asking for one.
func (m *Machine) Dpkg(ctx context.Context) (*DpkgStatus, error) {
	output, err := m.Runner.Run(ctx, Command{Name: "dpkg-query", Args: []string{"-W", "-f", dpkgFormat}})
	if err != nil {
		return nil, fmt.Errorf("ask for packages: %w", err)
	}
	return parseDpkg(string(output)), nil
}

// dpkgFormat gives a line "NAME TAB STATUS TAB VERSION" per package, followed
// by its conffiles, a line " PATH MD5" each.
const dpkgFormat = `${Package}\t${db:Status-Abbrev}\t${Version}\n${Conffiles}\n`

// parseDpkg reads dpkg-query's output in dpkgFormat.
func parseDpkg(output string) *DpkgStatus {
	status := &DpkgStatus{Versions: map[string]string{}, Half: map[string]string{}, Conffiles: map[string]string{}}
	for line := range strings.Lines(output) {
		line = strings.TrimSuffix(line, "\n")
		if conffile, ok := strings.CutPrefix(line, " "); ok {
			path, sum, ok := parseConffile(conffile)
			if ok {
				status.Conffiles[path] = sum
			}
			continue
		}
		fields := strings.Split(line, "\t")
		if len(fields) != 3 || len(fields[1]) < 2 {
			continue
		}
		// The second letter is the package's state.
		switch fields[1][1] {
		case 'i':
			status.Versions[fields[0]] = fields[2]
		case 'U':
			status.Half[fields[0]] = "unpacked, but not configured"
		case 'F':
			status.Half[fields[0]] = "half configured"
		case 'H':
			status.Half[fields[0]] = "half installed"
		}
	}
	return status
}

// HalfNames lists the packages that are half installed, by name.
func (s *DpkgStatus) HalfNames() []string { return slices.Sorted(maps.Keys(s.Half)) }

// parseConffile reads "PATH MD5", which may be followed by words such as
// "obsolete"; a path may hold spaces.
func parseConffile(line string) (path, sum string, ok bool) {
	fields := strings.Fields(line)
	for i := len(fields) - 1; i > 0; i-- {
		if len(fields[i]) == 32 && strings.Trim(fields[i], "0123456789abcdef") == "" {
			path, _, _ = strings.Cut(line, " "+fields[i])
			return path, fields[i], strings.HasPrefix(path, "/")
		}
	}
	return "", "", false
}
