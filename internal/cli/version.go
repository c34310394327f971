package cli

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/relayctl/relayctl/internal/payload"
)

func (a *app) versionCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Show the version, and the programs for hosts that it carries",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 0 {
				return errors.New("version takes no arguments")
			}
			return nil
		},
		RunE: func(*cobra.Command, []string) error {
			carried, err := payload.Load()
			switch {
			case errors.Is(err, payload.ErrNone): // no error of this command
				a.view.version(a.Version, nil)
			case err != nil:
				return a.view.failed(err)
			default:
				a.view.version(a.Version, carried.All())
			}
			return nil
		},
	}
}

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
		digest := strings.TrimPrefix(p.Digest, "sha256:") // of which as much is shown as names a folder on hosts
		rows = append(rows, []string{"  " + p.Name, p.Version, "linux/" + p.Arch, fmt.Sprintf("%.1f MiB", mebibytes(p.Size)), digest[:min(12, len(digest))]})
	}
	v.table(rows)
}
