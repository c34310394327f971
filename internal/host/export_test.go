package host

import "github.com/relayctl/relayctl/internal/hostapi"

// What the tests of parsers use.
var (
	ParseOSRelease = parseOSRelease
	ParseDpkg      = func(output string) (versions, conffiles map[string]string) {
		status := parseDpkg(output)
		return status.versions, status.conffiles
	}
	HasCandidate = hasCandidate
	ServiceOf    = serviceOf
	NewUnitState = newUnitState
	Listens      = listens
	IsUpload     = isUpload

	ParseEnvironment = parseEnvironment
	CaddySites       = caddySites
)

// ParseListening tells address and port of each socket.
func ParseListening(table string) []string {
	var list []string
	for _, one := range parseListening(table) {
		list = append(list, one.address.String()+" "+one.inode)
		if one.port < 1 || one.port > 65535 {
			panic("a port that is none")
		}
	}
	return list
}

// ParseAccounts tells each user's numbers and home.
func ParseAccounts(passwd, group string) (map[string]Account, map[string]int) {
	parsed := parseAccounts(passwd, group)
	return parsed.users, parsed.groups
}

// AptSays is why apt failed that said so, where the machine's web proxy was
// given to it by these variables.
func AptSays(stdout, stderr string, proxy ...string) *hostapi.Error {
	return aptSays(&CommandError{
		Name: "apt-get", ExitCode: 100, Stdout: lastLines([]byte(stdout)), Stderr: lastLines([]byte(stderr)),
	}, webProxy{env: proxy})
}

// Explained is what is told of an error; need is how many bytes were to be
// written, where the error does not say so itself.
func Explained(err error, need int) *hostapi.Error {
	if need > 0 {
		err = needing(need, err)
	}
	return explained(err)
}

// MountOf is the mount that a path is on, of those in a mountinfo.
func MountOf(mountinfo, path string) string { return mountOf(parseMounts(mountinfo), path) }
