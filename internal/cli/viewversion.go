package cli

import (
	"fmt"
	"io"
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
	v.table(func(w io.Writer) {
		for _, p := range programs {
			fmt.Fprintf(w, "  %s\t%s\tlinux/%s\t%.1f MiB\t%s\n", p.Name, p.Version, p.Arch, mebibytes(p.Size), short(p.Digest))
		}
	})
}

// short is a digest as folders on hosts are named by it.
func short(digest string) string {
	hash := strings.TrimPrefix(digest, "sha256:")
	return hash[:min(12, len(hash))]
}
