package cli

import (
	"fmt"
	"strings"

	"github.com/relayctl/relayctl/internal/payload"
)

// version prints what this build is, and what it carries.
func (v *view) version(version string, programs []payload.Info) {
	v.out.printf("relayctl %s\n", version)
	if len(programs) == 0 {
		v.say(0, "It carries no programs for hosts, so it can check stack files but not work on hosts. "+
			"make build makes one that does.")
		return
	}
	v.out.printf("\nPrograms for hosts:\n")
	var rows [][]string
	for _, p := range programs {
		rows = append(rows, []string{"  " + p.Name, p.Version, "linux/" + p.Arch, fmt.Sprintf("%.1f MiB", mebibytes(p.Size)), short(p.Digest)})
	}
	v.table(rows)
}

// short is a digest as folders on hosts are named by it.
func short(digest string) string {
	hash := strings.TrimPrefix(digest, "sha256:")
	return hash[:min(12, len(hash))]
}
