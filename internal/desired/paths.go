package desired

import (
	"errors"
	"fmt"
	"path"
	"strings"

	"github.com/relayctl/relayctl/internal/plan"
	"github.com/relayctl/relayctl/internal/stack"
)

// Where things stand on hosts.
const (
	relayDir   = "/etc/relay"
	workersDir = relayDir + "/workers.d"
	relayPath  = relayDir + "/relay.json"
	keysPath   = relayDir + "/keys.json"

	workerPath       = relayDir + "/worker.json"
	workerSecretPath = relayDir + "/worker.secret"
	rootPath         = relayDir + "/ca.pem"
	backendsDir      = relayDir + "/backends"

	caddyCADir    = "/etc/caddy/relayctl"
	caddyCertPath = caddyCADir + "/ca.crt"
	caddyKeyPath  = caddyCADir + "/ca.key"

	adminSocket = "/run/relay/admin.sock"
	metricsAddr = "127.0.0.1"
)

func workerEntryPath(worker string) string { return workersDir + "/" + worker + ".json" }

func backendKeyPath(m *stack.Model) string { return backendsDir + "/" + m.Slug() + ".key" }

// programPath is where a program's present version is started.
func programPath(name string) string { return path.Join(plan.ProgramsDir, name, "current", name) }

// checkNames refuses names that would leave their folder. The stack file's own
// checks refuse more; this one guards the paths that are made here.
func checkNames(s *stack.Stack) error {
	var errs []error
	check := func(what, name string) {
		if name == "" || strings.HasPrefix(name, ".") || strings.ContainsAny(name, "/\x00\n") {
			errs = append(errs, fmt.Errorf("%s %q cannot name a file", what, name))
		}
	}
	for _, w := range s.Workers {
		check("worker", w.Name)
		for _, m := range w.Models {
			check("model", m.Slug())
		}
	}
	for _, k := range s.APIKeys {
		check("api_key", k.Name)
		if k.Name == probeName {
			errs = append(errs, fmt.Errorf("api_key %q: relayctl's own key has this name", k.Name))
		}
	}
	return errors.Join(errs...)
}
