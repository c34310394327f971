package host

import (
	"maps"
	"slices"
	"strings"
)

// dpkgStatus is what dpkg knows of the machine's packages.
type dpkgStatus struct {
	versions  map[string]string // of installed packages, by name
	half      map[string]string // what is wrong with packages that are half installed, by name
	conffiles map[string]string // MD5 of a package's default, by path
}

// dpkgFormat gives a line "NAME TAB STATUS TAB VERSION" per package, followed
// by its conffiles, a line " PATH MD5" each.
const dpkgFormat = `${Package}\t${db:Status-Abbrev}\t${Version}\n${Conffiles}\n`

// parseDpkg reads dpkg-query's output in dpkgFormat.
func parseDpkg(output string) *dpkgStatus {
	status := &dpkgStatus{versions: map[string]string{}, half: map[string]string{}, conffiles: map[string]string{}}
	for line := range strings.Lines(output) {
		line = strings.TrimSuffix(line, "\n")
		if conffile, ok := strings.CutPrefix(line, " "); ok {
			path, sum, ok := parseConffile(conffile)
			if ok {
				status.conffiles[path] = sum
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
			status.versions[fields[0]] = fields[2]
		case 'U':
			status.half[fields[0]] = "unpacked, but not configured"
		case 'F':
			status.half[fields[0]] = "half configured"
		case 'H':
			status.half[fields[0]] = "half installed"
		}
	}
	return status
}

// halfNames lists the packages that are half installed, by name.
func (s *dpkgStatus) halfNames() []string { return slices.Sorted(maps.Keys(s.half)) }

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
