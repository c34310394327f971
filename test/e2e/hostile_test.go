package e2e_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/relayctl/relayctl/test/lab"
)

// canary is what commands hidden in names would make, on this machine or on a
// host.
const canary = "/tmp/relayctl-canary"

// Names at their limits, and secrets of every character that may be in one.
var (
	longName     = strings.Repeat("a-", 31) + "z"
	oddModel     = "A.b_c:d/-rf/" + strings.Repeat("x", 116)
	oddUpstream  = "/opt/../models/@cf+" + strings.Repeat("y", 200) + ":1.0"
	hostileKey   = "$(touch${IFS}" + canary + ");reboot`id`\"'\\{}%n<>|&#*?~\\n"
	hostileOwner = "rk_;reboot;$(id)`id`\"'\\{{.}}%s<>|&#*?~\\n"
)

// TestHostileNames applies a stack with the oddest strings that its language
// takes: they do no harm and arrive byte for byte.
func TestHostileNames(t *testing.T) {
	s := newSite(t)
	worker := s.Workers[0]
	if _, err := worker.StartStubEngine(t.Context(), lab.StubOptions{Port: 8001, Models: []string{oddUpstream}, Key: hostileKey}); err != nil {
		t.Fatal(err)
	}
	identity, err := os.ReadFile(s.SSHKeyFile)
	if err != nil {
		t.Fatal(err)
	}
	s.writeHome("-oProxyCommand=touch "+canary+"/key", string(identity))
	s.writeHome("backend.key", hostileKey)
	s.writeHome("owner.key", hostileOwner)
	s.secrets = append(s.secrets, hostileKey, hostileOwner)
	s.writeStack(s.hostileStack(worker))
	boots := s.boots()

	said := s.apply()
	want(t, said, oddModel+" answered through https://"+domain)
	s.mustBeDone()
	want(t, s.mustRelayctl("status"), "all well", oddModel)
	s.mustAnswer(s.client(), hostileOwner, oddModel)
	s.mustListOnly(hostileOwner, oddModel)
	if now := s.boots(); !slices.Equal(now, boots) {
		t.Errorf("a host restarted: boots %q, now %q", boots, now)
	}
	for _, h := range []*lab.Host{s.Edge, worker} {
		lab.MustRun(t, h, "test ! -e "+canary)
		lab.MustRun(t, h, "systemd-analyze verify /etc/systemd/system/relay-*.service")
	}
	if _, err := os.Lstat(canary); err == nil {
		t.Error("a string was run as a command on this machine")
	}
	s.writeStack(s.stackOf(s.proxy()))
	s.apply()
	s.mustBeDone()
}

func (s *site) hostileStack(worker *lab.Host) string {
	return fmt.Sprintf(`stack "lab" {}

ssh {
  user          = "admin"
  identity_file = %q
}

proxy "0" {
  address = %q
  domain  = %q

  tls "internal" {}
}

worker %q {
  address = %q

  model %q {
    backend     = "http://127.0.0.1:8001"
    backend_key = file("backend.key")
    upstream    = %q
  }
}

api_key %q {
  value = file("owner.key")
}
`, "-oProxyCommand=touch "+canary+"/key", s.Edge.Addr, domain, longName, worker.Addr, oddModel, oddUpstream, longName)
}

// boots tells the boots that the hosts are in.
func (s *site) boots() []string {
	s.t.Helper()
	var boots []string
	for _, h := range []*lab.Host{s.Edge, s.Workers[0]} {
		boots = append(boots, lab.MustRun(s.t, h, "cat /proc/sys/kernel/random/boot_id; systemctl show --property=UserspaceTimestampMonotonic"))
	}
	return boots
}

// mustListOnly fails unless a key is good for just one model.
func (s *site) mustListOnly(key, model string) {
	s.t.Helper()
	status, body := s.send(s.client(), http.MethodGet, "/v1/models", key, "")
	var list struct{ Data []struct{ ID string } }
	if err := json.Unmarshal([]byte(body), &list); err != nil || status != http.StatusOK || len(list.Data) != 1 || list.Data[0].ID != model {
		s.t.Errorf("/v1/models: status %d: %s", status, body)
	}
}
