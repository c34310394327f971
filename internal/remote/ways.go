package remote

import (
	"context"
	"fmt"
	"strings"

	"github.com/relayctl/relayctl/internal/remote/sshconfig"
)

// maxHops is after how many hops a way goes round in circles.
const maxHops = 10

// waysTo are the ways that lead to a target, the first to be gone first, and then
// those that lead on from it, of which there are none at the end.
func (d *Dialer) waysTo(ctx context.Context, t Target, onward []route) ([]route, error) {
	if len(onward) > maxHops {
		return nil, fmt.Errorf("reach %s: the way there goes round in circles: %s", onward[len(onward)-1].target.Address, names(onward[:len(onward)-1]))
	}
	way, jump, err := d.route(ctx, t)
	if err != nil {
		return nil, err
	}
	way.isHop = len(onward) > 0
	ways := append([]route{way}, onward...)
	if len(jump) == 0 {
		return ways, nil
	}
	last := jump[len(jump)-1]
	if len(jump) > 1 {
		last.Jump = jump[:len(jump)-1] // as with ssh, the list leads there, whatever is said about it elsewhere
	}
	last.KnownOnly = t.KnownOnly
	if err := last.check(); err != nil {
		return nil, fmt.Errorf("reach %s through %s: %w", t.Address, last.Name, err)
	}
	return d.waysTo(ctx, last, ways)
}

// jumpsOf are the hosts of a ProxyJump.
func jumpsOf(conf sshconfig.Config) []Target {
	var jump []Target
	for _, hop := range conf.Jump() {
		jump = append(jump, Target{Name: hop.Text, Address: hop.Address, User: hop.User, Port: hop.Port})
	}
	return jump
}

// names lists hops for a message.
func names(ways []route) string {
	var list []string
	for _, way := range ways {
		list = append(list, way.target.Name)
	}
	return strings.Join(list, ", then ")
}
