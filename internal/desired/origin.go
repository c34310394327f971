package desired

import (
	"fmt"

	"github.com/relayctl/relayctl/internal/plan"
	"github.com/relayctl/relayctl/internal/stack"
)

// An origin points at the line of an attribute (or of the block, for "" and
// where the attribute was left out) and names the outermost block around it.

func proxyOrigin(p *stack.Proxy, place stack.Place, attribute string) plan.Origin {
	return origin(place, attribute, "proxy", p.Name)
}

func workerOrigin(w *stack.Worker, place stack.Place, attribute string) plan.Origin {
	return origin(place, attribute, "worker", w.Name)
}

func keyOrigin(k *stack.APIKey) plan.Origin {
	return origin(k.Place, "", "api_key", k.Name)
}

func origin(place stack.Place, attribute, block, label string) plan.Origin {
	at := place.At(attribute)
	return plan.Origin{File: at.Filename, Line: at.Start.Line, Block: fmt.Sprintf("%s %q", block, label)}
}
