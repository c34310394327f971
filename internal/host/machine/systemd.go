package machine

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"time"

	"github.com/coreos/go-systemd/v22/dbus"
)

// Systemd is the machine's service manager.
type Systemd interface {
	// Units tells how units are, in the order of names.
	Units(ctx context.Context, names []string) ([]UnitState, error)
	// Job starts, stops, restarts or reloads a unit and waits until systemd
	// is done with it; ErrJobFailed when the unit would not.
	Job(ctx context.Context, verb JobVerb, unit string) error
	// Configure changes what systemd knows of a unit; the unit is not named
	// for ReloadUnitFiles.
	Configure(ctx context.Context, verb ConfigureVerb, unit string) error
}

// JobVerb is what systemd is asked to do with a unit.
type JobVerb string

// The jobs.
const (
	StartUnit   JobVerb = "start"
	StopUnit    JobVerb = "stop"
	RestartUnit JobVerb = "restart"
	ReloadUnit  JobVerb = "reload"
)

// ConfigureVerb is what systemd is asked to know of a unit.
type ConfigureVerb string

// The ways to configure systemd.
const (
	EnableUnit      ConfigureVerb = "enable"
	DisableUnit     ConfigureVerb = "disable"
	ResetFailed     ConfigureVerb = "reset-failed"
	MaskUnit        ConfigureVerb = "mask"
	UnmaskUnit      ConfigureVerb = "unmask"
	ReloadUnitFiles ConfigureVerb = "daemon-reload"
)

// ErrJobFailed means that systemd did as asked and the unit would not.
var ErrJobFailed = errors.New("job failed")

// UnitState is how systemd sees a unit. Fields that only services have are
// zero for other units.
type UnitState struct {
	Exists       bool // there is a unit file
	Fragment     string
	FileState    string // enabled, disabled, masked, static, …
	Active       string // active, inactive, failed, activating, deactivating, reloading
	Sub          string // running, auto-restart, …
	Invocation   string // hex; another one after every start
	Began        time.Time
	NeedsReload  bool // its file changed since systemd read it
	Result       string
	MainPID      int
	ExitCode     int // how its main process ended: 1 exited, 2 killed, 3 dumped core
	ExitStatus   int // exit code or signal
	Restarts     int
	StatusText   string
	ControlGroup string
	TriggeredBy  []string // socket, timer and path units that start it
	Triggers     []string // what it starts: it is one of those
	PulledBy     []string // units that have it start with them, a target of the boot say
}

// Running reports whether the unit is up.
func (s UnitState) Running() bool { return s.Active == "active" || s.Active == "reloading" }

// Masked reports whether somebody keeps the unit from being started at all.
func (s UnitState) Masked() bool { return s.FileState == "masked" || s.FileState == "masked-runtime" }

// Enabled reports whether the unit is set to start at boot.
func (s UnitState) Enabled() bool { return s.FileState == "enabled" }

// Ended reports whether systemd has given the unit up, or was told to.
func (s UnitState) Ended() bool { return s.Active == "failed" || s.Active == "inactive" }

// Describe is one line on a unit for people.
func (s UnitState) Describe() string {
	text := s.Active
	if s.Sub != "" && s.Sub != s.Active {
		text += " (" + s.Sub + ")"
	}
	if s.Masked() {
		text += ", masked"
	}
	if s.Result != "" && s.Result != "success" {
		text += ", " + s.LastEnd()
	}
	if s.Restarts > 0 {
		text += fmt.Sprintf(", restarted %d times by systemd", s.Restarts)
	}
	return text
}

// How a main process ended, from wait(2).
const (
	exited = 1
	killed = 2
	dumped = 3
)

// LastEnd says how the unit's main process last ended.
func (s UnitState) LastEnd() string {
	switch {
	case s.Result == "start-limit-hit" || s.Result == "timeout" || s.Result == "watchdog":
		return "last " + s.Result
	case s.ExitCode == exited:
		return fmt.Sprintf("last with exit code %d", s.ExitStatus)
	case s.ExitCode == killed || s.ExitCode == dumped:
		return fmt.Sprintf("last by signal %d", s.ExitStatus)
	}
	return "last result " + s.Result
}

// unitName is the form of units' names. Names reach systemd and commands as
// arguments of their own and never a shell; the form keeps them from being
// taken for options or for another path.
var unitName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9:_.@\\-]{0,200}\.(service|socket|timer|path|target|mount)$`)

// IsUnitName reports whether a unit may have a name.
func IsUnitName(name string) bool { return unitName.MatchString(name) }

// Unit tells how one unit is.
func (m *Machine) Unit(ctx context.Context, name string) (UnitState, error) {
	states, err := m.Systemd.Units(ctx, []string{name})
	if err != nil {
		return UnitState{}, fmt.Errorf("ask systemd for %s: %w", name, err)
	}
	return states[0], nil
}

// Manager is the machine's systemd, spoken to over D-Bus. It connects when it
// is first asked something.
type Manager struct{ conn *dbus.Conn }

// Close ends the conversation with systemd.
func (m *Manager) Close() {
	if m.conn != nil {
		m.conn.Close()
	}
}

// connected uses systemd's own socket, which root may, so that a machine whose
// D-Bus daemon is down or missing can be worked on.
func (m *Manager) connected() (*dbus.Conn, error) {
	if m.conn != nil && m.conn.Connected() {
		return m.conn, nil
	}
	conn, err := dbus.NewSystemdConnectionContext(context.Background()) // lasts longer than one request
	if err != nil {
		return nil, fmt.Errorf("connect to systemd: %w", err)
	}
	m.conn = conn
	return conn, nil
}

// Units implements Systemd.
func (m *Manager) Units(ctx context.Context, names []string) ([]UnitState, error) {
	conn, err := m.connected()
	if err != nil {
		return nil, err
	}
	states := make([]UnitState, len(names))
	for i, name := range names {
		properties, err := conn.GetAllPropertiesContext(ctx, name)
		if err != nil {
			return nil, fmt.Errorf("ask for %s: %w", name, err)
		}
		states[i] = newUnitState(properties)
	}
	return states, nil
}

// SocketUnits implements SocketLister.
func (m *Manager) SocketUnits(ctx context.Context) ([]SocketUnit, error) {
	conn, err := m.connected()
	if err != nil {
		return nil, err
	}
	list, err := conn.ListUnitsByPatternsContext(ctx, []string{"active"}, []string{"*.socket"})
	if err != nil {
		return nil, err
	}
	var units []SocketUnit
	for _, one := range list {
		property, err := conn.GetUnitTypePropertyContext(ctx, one.Name, "Socket", "Listen")
		if err != nil {
			return nil, fmt.Errorf("ask for %s: %w", one.Name, err)
		}
		units = append(units, SocketUnit{Name: one.Name, Listens: listens(property.Value.Value())})
	}
	return units, nil
}

// listens reads the addresses of streams out of pairs of a type and an address.
func listens(pairs any) []string {
	var addresses []string
	list, _ := pairs.([][]any)
	for _, pair := range list {
		if len(pair) == 2 && pair[0] == "Stream" {
			if address, ok := pair[1].(string); ok {
				addresses = append(addresses, address)
			}
		}
	}
	return addresses
}

func newUnitState(properties map[string]any) UnitState {
	text := func(name string) string { s, _ := properties[name].(string); return s }
	state := UnitState{
		Fragment: text("FragmentPath"), FileState: text("UnitFileState"),
		Active: text("ActiveState"), Sub: text("SubState"), Result: text("Result"),
		StatusText: text("StatusText"), ControlGroup: text("ControlGroup"),
	}
	names := func(name string) []string { list, _ := properties[name].([]string); return list }
	state.TriggeredBy, state.Triggers = names("TriggeredBy"), names("Triggers")
	state.PulledBy = slices.Concat(names("WantedBy"), names("RequiredBy"), names("UpheldBy"))
	state.Exists = text("LoadState") != "not-found" && text("LoadState") != ""
	state.NeedsReload, _ = properties["NeedDaemonReload"].(bool)
	if invocation, ok := properties["InvocationID"].([]byte); ok && len(invocation) > 0 {
		state.Invocation = fmt.Sprintf("%x", invocation)
	}
	if began, ok := properties["InactiveExitTimestamp"].(uint64); ok && began > 0 {
		state.Began = time.UnixMicro(int64(began))
	}
	if pid, ok := properties["MainPID"].(uint32); ok {
		state.MainPID = int(pid)
	}
	if code, ok := properties["ExecMainCode"].(int32); ok {
		state.ExitCode = int(code)
	}
	if status, ok := properties["ExecMainStatus"].(int32); ok {
		state.ExitStatus = int(status)
	}
	if restarts, ok := properties["NRestarts"].(uint32); ok {
		state.Restarts = int(restarts)
	}
	return state
}

// Job implements Systemd.
func (m *Manager) Job(ctx context.Context, verb JobVerb, unit string) error {
	conn, err := m.connected()
	if err != nil {
		return err
	}
	begin := map[JobVerb]func(context.Context, string, string, chan<- string) (int, error){
		StartUnit: conn.StartUnitContext, StopUnit: conn.StopUnitContext,
		RestartUnit: conn.RestartUnitContext, ReloadUnit: conn.ReloadUnitContext,
	}[verb]
	result := make(chan string, 1)
	if _, err := begin(ctx, unit, "replace", result); err != nil {
		return fmt.Errorf("%s %s: %w", verb, unit, err)
	}
	select {
	case <-ctx.Done():
		return fmt.Errorf("%s %s: %w", verb, unit, context.Cause(ctx))
	case text := <-result:
		if text != "done" {
			return fmt.Errorf("%s %s: %w: %s", verb, unit, ErrJobFailed, text)
		}
		return nil
	}
}

// Configure implements Systemd.
func (m *Manager) Configure(ctx context.Context, verb ConfigureVerb, unit string) error {
	conn, err := m.connected()
	if err != nil {
		return err
	}
	switch verb {
	case EnableUnit:
		_, _, err = conn.EnableUnitFilesContext(ctx, []string{unit}, false, true)
	case DisableUnit:
		_, err = conn.DisableUnitFilesContext(ctx, []string{unit}, false)
	case MaskUnit:
		_, err = conn.MaskUnitFilesContext(ctx, []string{unit}, false, true)
	case UnmaskUnit:
		_, err = conn.UnmaskUnitFilesContext(ctx, []string{unit}, false)
	case ResetFailed:
		err = conn.ResetFailedUnitContext(ctx, unit)
	case ReloadUnitFiles:
		err = conn.ReloadContext(ctx)
	}
	if err != nil {
		return fmt.Errorf("%s %s: %w", verb, unit, err)
	}
	return nil
}
