package machine

// What the tests of parsers use.
var (
	ParseOSRelease = parseOSRelease
	ParseDpkg      = func(output string) (versions, conffiles map[string]string) {
		status := parseDpkg(output)
		return status.Versions, status.Conffiles
	}
	ParseAccounts    = parseAccounts
	ParseEnvironment = parseEnvironment
	HasCandidate     = hasCandidate
	ServiceOf        = serviceOf
	NewUnitState     = newUnitState
	Listens          = listens
)

// ParseListening tells address and port of each socket.
func ParseListening(table string) []string {
	var list []string
	for _, one := range parseListening(table) {
		list = append(list, one.Address.String()+" "+one.inode)
		if one.Port < 1 || one.Port > 65535 {
			panic("a port that is none")
		}
	}
	return list
}

// MountOf is the mount that a path is on, of those in a mountinfo.
func MountOf(mountinfo, path string) string { return mountOf(parseMounts(mountinfo), path) }
