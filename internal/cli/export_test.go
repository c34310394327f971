package cli

import (
	"context"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/relayctl/relayctl/internal/engine"
	"github.com/relayctl/relayctl/internal/payload"
	"github.com/relayctl/relayctl/internal/plan"
)

// Session is what a test stands in for the hosts.
type Session = session

// RunWith runs the command line with hosts that a test made up.
func RunWith(system System, connect func(context.Context, engine.Config) (Session, error)) int {
	a := newApp(system)
	a.connect = connect
	return a.run()
}

// HideTyping stops a terminal from showing what is typed.
func HideTyping(fd int) (show func(), err error) { return hideTyping(fd) }

// OwnedBy reports whether the file at path is that of user uid.
func OwnedBy(path string, uid int) (bool, error) {
	info, err := os.Stat(path)
	if err != nil {
		return false, err
	}
	return ownedBy(info, uid), nil
}

// PrintVersion prints what a build that carries these programs is.
func PrintVersion(w io.Writer, version string, programs []payload.Info) {
	newView(System{Stdout: w, Env: func(string) (string, bool) { return "", false }}).version(version, programs)
}

// Root is the tree of commands.
func Root() *cobra.Command {
	system := System{Env: func(string) (string, bool) { return "", false }}
	return newApp(system).rootCommand()
}

// PlanText says how a plan is printed for a test.
type PlanText struct {
	Width              int
	Color, ASCII, Diff bool
	Took               time.Duration
	Unseen             int // hosts that could not be looked at
	Texts              func(host string, c plan.Change) (before, after string, ok bool)
}

// PrintPlan prints the plan itself, for a stack file stack.hcl.
func PrintPlan(w io.Writer, p plan.Plan, o PlanText) {
	v := newView(System{Stdout: w, Width: o.Width, Env: func(string) (string, bool) { return "", false }})
	v.ascii, v.out.color = o.ASCII, o.Color
	text := planText{view: v, plan: p, diff: o.Diff, texts: o.Texts}
	v.about.file = "stack.hcl"
	text.head(o.Took, o.Unseen)
	text.hosts()
}
