package engine_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"

	"github.com/relayctl/relayctl/internal/protocol"
	"github.com/relayctl/relayctl/internal/remote"
)

var errRefused = errors.New("nobody is there")

func refuseAll(context.Context, string, string) (net.Conn, error) { return nil, errRefused }

// What the stack file says of the way to a host is taken by who goes it.
func TestRemoteTakesTheStacksTargets(t *testing.T) {
	for _, c := range []struct{ address, user string }{
		{"10.0.0.21", "ops"}, {"GPU-Box", `CORP\john.doe`}, {"my_gpu", "john@corp.example.com"}, {"fe80::1%eth0", "machine$"},
		{"[2001:db8::1]", "jörg"}, {"büro.example", "John_Doe-2+x"}, {"gpu.example.com.", "1a"},
	} {
		s := load(t, fmt.Sprintf("ssh {\n  user = %q\n  identity_file = \"/my keys/it's (new) & é\"\n}\n", c.user)+
			strings.Replace(homeStack, `"10.0.0.21"`, `"`+c.address+`"`, 1))
		h := s.Workers[0].Host
		d := &remote.Dialer{Connect: refuseAll}
		_, err := d.Dial(t.Context(), remote.Target{Address: h.Address, User: h.SSH.User, IdentityFile: h.SSH.IdentityFile, Sudo: remote.Sudo(h.SSH.Sudo)})
		if err == nil || !strings.Contains(err.Error(), errRefused.Error()) && !strings.HasPrefix(err.Error(), "reach ") {
			t.Errorf("%s at %s: %v", c.user, c.address, err)
		}
	}
}

// The bounds of the stack file are those of the protocol.
func TestStackHasTheBoundsOfTheProtocol(t *testing.T) {
	var models strings.Builder
	for i := range protocol.MaxOffers {
		fmt.Fprintf(&models, "  model \"m%d\" {\n    backend = \"http://127.0.0.1:1\"\n    concurrency = %d\n  }\n", i, protocol.MaxConcurrency)
	}
	s := load(t, "stack \"home\" {}\nproxy \"edge\" {\n  address = \"a\"\n  domain = \"b\"\n  tls \"internal\" {}\n}\nworker \"w\" {\n  address = \"c\"\n"+models.String()+"}\n")
	if len(s.Workers[0].Models) != protocol.MaxOffers {
		t.Errorf("%d models", len(s.Workers[0].Models))
	}
}
